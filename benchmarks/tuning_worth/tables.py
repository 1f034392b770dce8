"""The tables of the comparison of searches, from what `benchmarks.tuning_worth` has measured."""

from collections.abc import Iterator
from typing import Any

import numpy as np

# What `benchmarks.tuning_worth` writes.
Data = dict[str, Any]

OURS = "resnet_layers"
# What each searches.
CONTENDERS = {
    OURS: (
        "`resnet_layers.tuning.HyperResNet`, preset `small-images`, `max_macs={max_macs:.0e}` "
        "(less than keras-tuner's smallest networks take, 3e+07)."
    ),
    "keras-tuner": (
        "`keras_tuner.applications.HyperResNet`, with `version` v1 or v2 and `conv4_depth=6`. "
        "It compiles its networks itself."
    ),
    "ResNet-18": (
        '`ResNet.from_variant("resnet18")`, AdamW at 1e-3 with a cosine to zero and a weight decay '
        "of 0.05. A trial is another start. On a split that is not counted here, SGD at 0.1 with "
        "a momentum of 0.9 and the same cosine did worse on both sets by validation."
    ),
}
SETS = {
    "digits": (
        "scikit-learn's 1797 digits, 8 × 8 grey, upscaled to {size} × {size} × 3 as `train` does. "
        "Each seed splits them anew, class by class."
    ),
    "photographs": (
        "scikit-learn's two sample photographs, cut into {size} × {size} patches that do not "
        "overlap; the class is the photograph. Patches are split by place, not at random, since "
        "neighbours look alike: of five vertical strips one is for tests, the next validates, and "
        "three are trained on. Each seed tests on another strip. The last column of patches of "
        "each strip is left out, so that no two strips touch."
    ),
}


def accuracies(data: Data, name: str, contender: str, part: str = "test") -> dict[int, float]:
    """The winners' accuracies by seed, in percent.

    Args:
        data: What was measured.
        name: Of the images.
        contender: A name from `CONTENDERS`.
        part: `"test"` or `"validation"`.
    """
    found = _results(data, name, contender)
    return {result["seed"]: 100 * result[part] for result in found}


def differences(data: Data, name: str, other: str) -> list[float]:
    """What ours has over another's test accuracy, for each seed that both have."""
    ours, theirs = accuracies(data, name, OURS), accuracies(data, name, other)
    return [ours[seed] - theirs[seed] for seed in ours if seed in theirs]


def page(data: Data) -> str:
    """The page of docs."""
    return "\n".join([*_about(data), *_parts(data), *_rest(data)]) + "\n"


def _results(data: Data, name: str, contender: str) -> list[dict[str, Any]]:
    return [
        result
        for result in data["results"]
        if (result["data"], result["contender"]) == (name, contender)
    ]


def _about(data: Data) -> Iterator[str]:
    settings = data["settings"]
    yield "# What a search is worth"
    yield ""
    yield (
        "Written by `python docs/generate.py` from `docs/data/tuning.json`, which "
        "`python -m benchmarks.tuning_worth --output FILE.json` measures."
    )
    yield ""
    yield (
        f"Each search has {settings['trials']} trials of {settings['epochs']} epochs, drawn by "
        "`keras_tuner.RandomSearch`, and gets the same images in the same split: each channel "
        "has mean 0 and deviation 1 over the images that are trained on, and a batch has "
        f"{settings['batch']}. Trials are scored by their best epoch on the images that validate. "
        "The best trial is the winner, with the weights of that epoch. It alone meets the images "
        "of the test, once."
    )
    yield ""
    yield "The contenders:"
    yield ""
    yield from (f"- **{name}**: {text.format(**settings)}" for name, text in CONTENDERS.items())
    yield ""
    yield "| | |"
    yield "| --- | --- |"
    yield from (f"| {name} | {text} |" for name, text in data["machine"].items())


def _parts(data: Data) -> Iterator[str]:
    measured = {result["data"] for result in data["results"]}
    for name, text in SETS.items():
        if name not in measured:
            continue
        yield from ("", f"## {name.capitalize()}", "", text.format(**data["settings"]))
        training, validation, test = next(
            result["images"] for result in data["results"] if result["data"] == name
        )
        yield (
            f"{training} images are trained on, {validation} validate, and {test} are for the test."
        )
        yield from ("", *_winners(data, name), "", *_pairs(data, name))


def _winners(data: Data, name: str) -> Iterator[str]:
    seeds = sorted({result["seed"] for result in data["results"] if result["data"] == name})
    yield (
        "Accuracy in percent, mean ± standard deviation over the seeds, then the test of each. "
        "Parameters of the winners, in millions, and seconds of a search are medians."
    )
    yield ""
    yield (
        "| | test | validation | parameters | seconds | "
        f"{' | '.join(f'seed {seed}' for seed in seeds)} |"
    )
    yield f"| --- |{' ---: |' * (4 + len(seeds))}"
    for contender in CONTENDERS:
        results = _results(data, name, contender)
        if not results:
            continue
        tests = accuracies(data, name, contender)
        cells = [
            f"**{contender}**" if contender == OURS else contender,
            _spread(list(tests.values())),
            _spread(list(accuracies(data, name, contender, "validation").values())),
            f"{np.median([result['parameters'] for result in results]) / 1e6:.2f}",
            f"{np.median([result['seconds'] for result in results]):.0f}",
            *(f"{tests[seed]:.1f}" if seed in tests else "" for seed in seeds),
        ]
        yield f"| {' | '.join(cells)} |"


def _pairs(data: Data, name: str) -> Iterator[str]:
    yield (
        f"Test accuracy of {OURS} less that of the other, seed by seed, in percentage points: mean "
        "± standard deviation, and in how many seeds it is above, equal and below."
    )
    yield ""
    yield "| beside | difference | above | equal | below |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for other in CONTENDERS:
        found = np.array(differences(data, name, other))
        if other == OURS or not len(found):
            continue
        counts = [int(each.sum()) for each in (found > 1e-9, abs(found) <= 1e-9, found < -1e-9)]
        yield f"| {other} | {_spread(found.tolist(), '+')} | {' | '.join(map(str, counts))} |"


def _rest(data: Data) -> Iterator[str]:
    failed = sum(result["failed"] for result in data["results"])
    yield from ("", "## How to read this, and what was not done", "")
    yield f"- Failed trials: {failed}."
    yield (
        "- Two cores set the size of all this. Much of what keras-tuner's networks lack comes from "
        "so few steps: their statistics of batch normalization keep 0.99 of what they had at each "
        f"step, so that after {_steps(data)} steps {0.99 ** _steps(data):.0%} of them is still "
        "where they started. On a split that is not counted here, one of them (v2, Adam at 1e-3) "
        "reached 99 % on the digits that it was trained on, 24 % on those that validate, and 95 % "
        "on these with the statistics of the batch. Nothing here says what more epochs would "
        "change."
    )
    yield (
        f"- Images of {data['settings']['size']} pixels are small for networks with a stride of 32 "
        "(keras-tuner's and ResNet-18): their last two stages see one pixel. At 32 pixels only the "
        "last one would, for up to four times the work."
    )
    yield (
        "- ResNeXt was left out of keras-tuner's space, since grouped convolutions train slowly on "
        "a CPU, as the preset leaves it out of ours, and so were networks with `conv4_depth` of 23 "
        "and 36."
    )
    yield (
        "- Nothing was compiled by XLA, which Keras leaves out where there is no GPU. Both sets "
        "were searched at once, beside other work on the machine, and some searches were paused: "
        "seconds say little about which is faster."
    )
    yield (
        "- A first comparison, of 2 trials and with a wider preset, was a tie with ResNet-18: "
        "−0.3 ± 1.2 points on the digits, −0.2 ± 4.1 on the photographs. The preset was narrowed "
        "then, judged by another split of the digits, and trials were doubled for everybody."
    )
    yield "- Other tuners than random search, larger images and other sets were not compared."


def _steps(data: Data) -> int:
    images = data["results"][0]["images"][0]
    return data["settings"]["epochs"] * -(-images // data["settings"]["batch"])


def _spread(values: list[float], sign: str = "") -> str:
    """Mean and standard deviation of a sample."""
    if len(values) < 2:
        return f"{np.mean(values):{sign}.1f}"
    return f"{np.mean(values):{sign}.1f} ± {np.std(values, ddof=1):.1f}"
