"""The tables of serving, from what `benchmarks.serving` has measured; nothing is timed here."""

from collections.abc import Iterator
from typing import Any

import numpy as np

# What `benchmarks.serving` writes.
Data = dict[str, Any]
Spread = tuple[float, float, float]

BASELINE = "Keras: predict_on_batch float32"
AGAIN = "Keras: predict_on_batch, again float32"
GRAPHS = ("Keras: tf.function float32", "Keras: tf.function with XLA float32")
# How many times as fast as the baseline, on two cores with AMX.
TARGETS: dict[str, dict[str, float]] = {
    "TensorFlow graph float32": {"1": 1.1, "8": 1.2, "32": 1.2},
    "TensorFlow graph bfloat16": {"1": 1.35, "8": 3.5, "32": 4.5},
    "OpenVINO float32": {"1": 2.0, "8": 1.35, "32": 1.2},
    "OpenVINO bfloat16": {"1": 8.0, "8": 7.0, "32": 6.5},
    "OpenVINO int8": {"1": 13.0, "8": 9.0, "32": 11.0},
}
# Ours, and what torchvision's users have in its place.
PAIRS = {
    "OpenVINO float32": "torchvision: OpenVINO float32",
    "OpenVINO bfloat16": "torchvision: OpenVINO bfloat16",
    "OpenVINO int8": "torchvision: OpenVINO int8",
    "ONNX Runtime float32": "torchvision: ONNX Runtime float32",
    "TensorFlow graph float32": "torchvision: torch.compile float32",
    "TensorFlow graph bfloat16": "torchvision: torch.compile bfloat16",
}


def spread(over: list[float], under: list[float]) -> Spread:
    """The quartiles of the paired ratios, the median in the middle."""
    ratios = np.asarray(over) / np.asarray(under)
    first, median, third = np.percentile(ratios, (25, 50, 75)).tolist()
    return first, median, third


def best_graph(seconds: dict[str, list[float]]) -> str:
    """The faster of Keras' network as a graph and the same under XLA."""
    return min(GRAPHS, key=lambda name: float(np.median(seconds.get(name, [np.inf]))))


def fastest(data: Data, batch: str, precision: str, runtime: str = "") -> str | None:
    """Our fastest way in a precision, of one runtime or of any."""
    seconds = data["seconds"][batch]
    ours = [
        name
        for name, way in data["ways"].items()
        if way["whose"] == "ours"
        and way["precision"] == precision
        and runtime in ("", way["runtime"])
        and name in seconds
    ]
    return min(ours, key=lambda name: float(np.median(seconds[name])), default=None)


def achieved(data: Data, batch: str, name: str) -> tuple[float, float | None]:
    """Operations a second, and their share of a matrix product's in that precision."""
    seconds, way = data["seconds"][batch], data["ways"][name]
    network = "Keras" if way["whose"] == "Keras" else "ours"
    count = data["operations"][network] * int(batch)
    product = seconds.get(f"machine: matrix product {way['precision']}")
    rate = count / float(np.median(seconds[name]))
    if product is None:
        return rate, None
    return rate, spread(product, seconds[name])[1] * count / data["operations"]["product"]


def limits(data: Data, batch: str) -> dict[str, float]:
    """How many times as fast as Keras the network would be at the speed of a matrix product."""
    seconds, counts = data["seconds"][batch], data["operations"]
    found = {}
    for name, way in data["ways"].items():
        if way["whose"] == "machine" and name in seconds:
            ratio = spread(seconds[BASELINE], seconds[name])[1]
            found[way["precision"]] = ratio * counts["product"] / (counts["ours"] * int(batch))
    return found


def tables(data: Data) -> list[str]:
    """Markdown, from the machine to what was left out."""
    return [
        *_machine(data),
        *(line for batch in data["seconds"] for line in _batch(data, batch)),
        *_pairs(data),
        *_choice(data),
        *_layers(data),
        *_left_out(data),
    ]


def page(runs: list[Data]) -> str:
    """The page of docs, one part for each machine."""
    lines = [
        "# Serving speed",
        "",
        "Written by `python docs/generate.py` from `docs/data/serving*.json`, which "
        "`python -m benchmarks.serving --output FILE.json` measures.",
        "",
        "A ratio is the time of Keras over the time of a way: 2 means twice as fast. It is the "
        "median of paired rounds, and half of the rounds lie within the range beside it. In a "
        "round every way runs once, in an order that turns from round to round. How it is measured "
        "is said in [benchmarks/README.md](../benchmarks/README.md).",
    ]
    for data in runs:
        lines += ["", f"## {data['machine']['processor']}, {data['machine']['cores']} cores", ""]
        lines += tables(data)
    return "\n".join(lines) + "\n"


def _machine(data: Data) -> Iterator[str]:
    yield "| | |"
    yield "| --- | --- |"
    for name, text in data["machine"].items():
        yield f"| {name} | {text} |"
    yield ""
    flags = data["flags"]
    amx = [name for name in ("amx_bf16", "amx_int8") if name in flags]
    if len(amx) == 2:
        yield "The processor has AMX, so the targets are meant for it."
    else:
        yield (
            "The processor has no AMX, which multiplies small matrices of bfloat16 and int8 in one "
            "instruction. The targets are meant for two cores that have it: here those of "
            "bfloat16 and int8 say what another machine should do."
        )
    counts = data["operations"]
    yield ""
    yield (
        f"`{data['network']}` at {data['size']} × {data['size']} pixels takes "
        f"{counts['ours'] / 1e9:.2f} GFLOP for an image (2 × multiply-adds of convolutions and the "
        f"dense layer), and Keras' network, whose strides stand elsewhere, "
        f"{counts['Keras'] / 1e9:.2f}. Ratios are those of times, not of operations."
    )


def _batch(data: Data, batch: str) -> Iterator[str]:
    seconds = data["seconds"][batch]
    graph = best_graph(seconds)
    rounds = len(seconds[BASELINE])
    yield from ("", f"### Batch {batch}", "")
    first, median, third = spread(seconds[BASELINE], seconds[AGAIN])
    yield (
        f"{rounds} rounds. The baseline against itself: {median:.3f} ({first:.3f} – {third:.3f}); "
        "what is nearer to 1 than that is no difference."
    )
    bounds = limits(data, batch)
    if bounds:
        shown = ", ".join(f"{ratio:.2f} in {precision}" for precision, ratio in bounds.items())
        yield f"At the speed of a matrix product our network would reach {shown}."
    yield ""
    short = graph.partition(": ")[2].removesuffix(" float32")
    heads = f"ms | × Keras | target | × Keras, {short} | GFLOP/s | of a matrix product | difference"
    yield f"| way | {heads} |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for name, way in data["ways"].items():
        if name not in seconds or name == AGAIN:
            continue
        times = 1e3 * float(np.median(seconds[name]))
        if way["whose"] == "machine":
            rate = data["operations"]["product"] / times / 1e6
            yield f"| {name} | {times:.1f} | | | | {rate:.0f} | | |"
            continue
        target = TARGETS.get(name, {}).get(batch)
        rate, share = achieved(data, batch, name)
        cells = [
            f"**{name}**" if way["whose"] == "ours" else name,
            f"{times:.1f}",
            _shown(spread(seconds[BASELINE], seconds[name])),
            "" if target is None else f"{target:g}",
            _shown(spread(seconds[graph], seconds[name])),
            f"{rate / 1e9:.0f}",
            "" if share is None else f"{share:.0%}",
            f"{data['differences'].get(name, 0.0):.0e}",
        ]
        yield f"| {' | '.join(cells)} |"


def _pairs(data: Data) -> Iterator[str]:
    seconds = data["seconds"]
    rows = [
        (ours, theirs)
        for ours, theirs in PAIRS.items()
        if any(ours in each and theirs in each for each in seconds.values())
    ]
    if not rows:
        return
    yield from ("", "### Ours beside torchvision's", "")
    yield (
        "The same weights and images, in the same runtime with the same settings where there is "
        "one. Time of torchvision's over time of ours: above 1 ours is faster."
    )
    yield from ("", f"| ours / torchvision's | {' | '.join(f'batch {b}' for b in seconds)} |")
    yield f"| --- |{' ---: |' * len(seconds)}"
    for ours, theirs in rows:
        cells = [
            _shown(spread(each[theirs], each[ours])) if ours in each and theirs in each else ""
            for each in seconds.values()
        ]
        title = f"{ours} / {theirs.partition(': ')[2]}" if ours not in theirs else ours
        yield f"| {title} | {' | '.join(cells)} |"


def _choice(data: Data) -> Iterator[str]:
    rows = (
        ("the model's outputs, TensorFlow alone", "float32", "TensorFlow graph"),
        ("the model's outputs", "float32", ""),
        ("three digits of them, TensorFlow alone", "bfloat16", "TensorFlow graph"),
        ("three digits of them", "bfloat16", ""),
        ("most of its answers, with images to calibrate by", "int8", ""),
    )
    batches = list(data["seconds"])
    yield from ("", "### Which way, on this machine", "")
    yield f"| you want | {' | '.join(f'batch {batch}' for batch in batches)} |"
    yield f"| --- |{' --- |' * len(batches)}"
    for title, precision, runtime in rows:
        cells = []
        for batch in batches:
            name = fastest(data, batch, precision, runtime)
            times = data["seconds"][batch].get(name, [np.nan])
            each = 1e3 * float(np.median(times)) / int(batch)
            cells.append(f"{name}: {each:.1f} ms an image" if name else "none")
        yield f"| {title} | {' | '.join(cells)} |"


def _layers(data: Data) -> Iterator[str]:
    if not data["layers"]:
        return
    yield from ("", "### Where the time goes", "")
    yield "OpenVINO's own counters, of our network: share of the time, and GFLOP/s where there are."
    batches = list(data["layers"])
    columns = [(batch, precision) for batch in batches for precision in data["layers"][batch]]
    kinds = dict.fromkeys(kind for b, p in columns for kind in data["layers"][b][p])
    yield ""
    yield f"| | {' | '.join(f'{precision}, batch {batch}' for batch, precision in columns)} |"
    yield f"| --- |{' ---: |' * len(columns)}"
    totals = {(b, p): sum(time for time, _ in data["layers"][b][p].values()) for b, p in columns}
    for kind in kinds:
        cells = []
        for b, p in columns:
            time, count = data["layers"][b][p].get(kind, (0.0, 0.0))
            rate = f", {count / time / 1e9:.0f}" if count and time else ""
            cells.append(f"{time / totals[b, p]:.1%}{rate}" if time else "")
        yield f"| {kind} | {' | '.join(cells)} |"
    rest = []
    for b, p in columns:
        counted = sum(time for time, count in data["layers"][b][p].values() if count)
        rest.append(f"{1 - counted / totals[b, p]:.1%}")
    yield f"| all without products | {' | '.join(rest)} |"
    yield ""
    yield (
        "Additions and activations run inside the convolutions before them and are counted there. "
        "What a way loses against the matrix product is lost where a kind of convolution has "
        "fewer GFLOP/s than that, and in the rows without products."
    )


def _left_out(data: Data) -> Iterator[str]:
    if data["skipped"]:
        yield from ("", "Left out:", "")
        yield from (f"- {name}: {reason}" for name, reason in data["skipped"].items())


def _shown(ratio: Spread) -> str:
    first, median, third = ratio
    return f"{median:.2f} ({first:.2f} – {third:.2f})"
