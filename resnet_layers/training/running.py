"""`train`: a network by a recipe, from images on disk to files, in one call."""

import dataclasses
from pathlib import Path

from resnet_layers._support.errors import InputError
from resnet_layers._support.files import check_writable, replacing, save_model
from resnet_layers.networks.model import ResNet
from resnet_layers.training import history, processes
from resnet_layers.training.fitting import DamagedError, Fitting
from resnet_layers.training.settings import Settings

MODEL, HISTORY, CURVES = "model.keras", "history.csv", "curves.png"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trained:
    """What a training has come to.

    Args:
        model: The network, not compiled, with averaged weights where the recipe has `ema`, and with
            a sigmoid at its end where images have several classes. Its parts train as they did, and
            its dtype policy is that of the settings' model.
        history: A row for each epoch: Keras' logs, and `data_wait`.
        paths: The files that were written, by name; of several processes the first one writes.
        left_out: What was wrong with images that `skip_damaged` has left out.
    """

    model: ResNet
    history: list[history.Row]
    paths: dict[str, Path]
    left_out: list[InputError]


def train(settings: Settings) -> Trained:
    """Trains a network on images that are read from disk meanwhile.

    Args:
        settings: The network, the images, and the recipe with what differs from it.

    Returns:
        The network as it was trained, a row for each epoch, and the files that were written.

    Raises:
        InputError: If an image cannot be decoded, when what was trained until then is written, and
            is in the model of the settings; if the loss is no longer a number, or if memory is too
            small for a step, with the next smaller one.
        OSError: If files cannot be written.

    Example:

    >>> from resnet_layers import ResNet, training
    >>> from resnet_layers.layers.preprocessing import for_squares
    >>> validation, images = training.labelled.digits().split(seed=0, fraction=0.1)
    >>> trained = training.train(
    ...     training.Settings(
    ...         model=ResNet.from_variant("cifar_resnet20", classes=10),
    ...         images=images,
    ...         validation=validation,
    ...         prepare=for_squares(image_size=8, mean=(127.5,) * 3, std=(64.0,) * 3),
    ...         recipe=training.RECIPES["digits"],
    ...         epochs=1,
    ...     )
    ... )
    >>> list(trained.history[0])
    ['loss', 'accuracy', 'val_loss', 'val_accuracy', 'data_wait']
    """
    if settings.output is not None:
        settings.output.mkdir(parents=True, exist_ok=True)
        check_writable(settings.output)
    fitting = Fitting(settings)
    try:
        fitting.run()
    except DamagedError:
        if fitting.table or fitting.steps:
            _written(fitting)
        raise
    return _written(fitting)


def _written(fitting: Fitting) -> Trained:
    settings, model = fitting.settings, fitting.network()
    paths: dict[str, Path] = {}
    if settings.output is not None and processes.is_first():
        paths = {name: settings.output / name for name in (MODEL, HISTORY, CURVES)}
        with replacing(*paths.values()) as (first, second, third):
            save_model(model.replace(), first)
            history.write(second, fitting.table)
            history.write_curves(third, fitting.table)
    return Trained(model=model, history=fitting.table, paths=paths, left_out=fitting.left_out)
