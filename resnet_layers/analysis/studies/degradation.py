"""`degradation`: plain and residual networks of growing depth, trained alike with several seeds."""

from collections.abc import Callable

from resnet_layers.analysis.studies.results import Results
from resnet_layers.analysis.studies.running import train_all
from resnet_layers.analysis.studies.settings import Degradation, begin


def degradation(settings: Degradation, tell: Callable[[str], None] = lambda line: None) -> Results:
    """Trains what is not trained yet, and gathers what all runs have come to.

    A run that was killed goes on at the epoch where it was. Several processes that run the same
    study share its networks.

    Args:
        settings: What is asked for.
        tell: What is called with a line for each run.

    Returns:
        Results of all runs; of those that there are, if another process still trains some.

    Raises:
        InputError: If the folder holds another study, or if a file of it is damaged.
        OSError: If files cannot be written.

    Example:

    >>> from resnet_layers.layers.preprocessing import for_squares
    >>> from resnet_layers.training import labelled
    >>> images, test = labelled.digits().split(seed=0, fraction=0.2)
    >>> settings = Degradation(
    ...     images=images,
    ...     test=test,
    ...     prepare=for_squares(image_size=8, mean=(127.5,) * 3, std=(64.0,) * 3),
    ...     output=getfixture("tmp_path") / "study",
    ...     depths=(8,),
    ...     shortcut_depths=(),
    ...     seeds=2,
    ...     epochs=1,
    ... )
    >>> print(degradation(settings).table("markdown").splitlines()[0])
    | network | training error | test error | runs |

    Reference:
        He et al., Deep Residual Learning for Image Recognition, 2015, section 4.2.
    """
    begin(settings)
    for contender in settings.contenders:
        train_all(settings, contender, tell)
    return gather(settings)


def gather(settings: Degradation) -> Results:
    """The runs that there are.

    Raises:
        InputError: If a file is damaged.
    """
    runs = [
        settings.read_run(contender, seed)
        for contender in sorted(settings.contenders, key=lambda one: one.depth)
        for seed in range(settings.seeds)
        if settings.run_file(contender, seed).exists()
    ]
    return Results(study=settings.described(), runs=runs)
