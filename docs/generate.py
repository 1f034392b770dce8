"""Writes the pages of `docs/` that are made from data: `python docs/generate.py`."""

import dataclasses
import itertools
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from resnet_layers.layers import styles
from resnet_layers.layers._layout import Layout
from resnet_layers.layers.styles import STYLES
from resnet_layers.networks import variants
from resnet_layers.networks.variants import VARIANTS
from resnet_layers.training.recipes import RECIPES, Recipe

FOLDER = Path(__file__).parent
sys.path += [str(FOLDER), str(FOLDER.parent)]  # `architecture` and `benchmarks` are not installed


def in_words(values: Sequence[Any]) -> str:
    """A list without its brackets."""
    return ", ".join(map(str, values))


def body(bottleneck: Any) -> str:
    """The kind of block, or of the blocks of each stage."""
    if isinstance(bottleneck, tuple):
        return ", ".join(map(body, bottleneck))
    return "bottleneck" if bottleneck else "basic"


def stem(keywords: dict[str, Any]) -> str:
    """The widths and kernel of a stem, and its pooling."""
    widths = "+".join(map(str, (*keywords.get("hidden_filters", ()), keywords["filters"])))
    kernel = Layout(3 if isinstance(keywords.get("kernel_size"), tuple) else 2)
    size = "×".join(map(str, kernel.spread(keywords.get("kernel_size", 7))))
    pooling = keywords.get("pooling", "max")
    return f"{widths}, {size}, {pooling.replace('_', ' ')}" if pooling else f"{widths}, {size}"


def nearest_style(style: Any) -> tuple[str, list[str]]:
    """The named style with the fewest fields that differ, and these fields."""
    fields = styles.get(style).get_config()

    def changes(name: str) -> list[str]:
        named = STYLES[name].get_config()
        return [f"`{key}={value!r}`" for key, value in fields.items() if value != named[key]]

    name = min(STYLES, key=lambda name: len(changes(name)))
    return name, changes(name)


def variants_page() -> str:
    """The page of all variants, from the table in `variants.py`."""
    lines = [
        "# Variants",
        "",
        "Written by `python docs/generate.py` from `resnet_layers/networks/variants.py`.",
        "",
        "`rl.ResNet.from_variant(name, classes=…)` makes one; any field of its row or of its style "
        "can be overridden. Parameters are the trainable ones at 1000 classes.",
        "",
        "| name | parameters | blocks | filters | body | groups × width | stem | style | and |",
        "| --- | ---: | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in VARIANTS:
        row = variants.find(name)
        style, changes = nearest_style(row.style)
        if row.widths is not None:
            changes.append("irregular widths")
        cells = [
            f"`{name}`",
            f"{VARIANTS[name].parameters:,}",
            in_words(row.blocks),
            in_words(row.filters),
            body(row.bottleneck),
            f"{row.groups} × {row.group_width}" if row.group_width else "",
            stem(row.stem),
            f"`{style}`",
            ", ".join(changes),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "Sources:", ""]
    sources: dict[str, list[str]] = {}
    for name, entry in VARIANTS.items():
        sources.setdefault(entry.source, []).append(f"`{name}`")
    lines += [f"- {source}: {', '.join(names)}" for source, names in sources.items()]
    return "\n".join(lines) + "\n"


def recipes_page() -> str:
    """The page of all recipes, a column each."""
    names = list(RECIPES)
    fields = [f for f in dataclasses.fields(Recipe) if f.name != "source"]

    def cell(value: Any) -> str:
        if isinstance(value, float):
            return f"{value:.4g}"
        if isinstance(value, tuple):
            return " – ".join(map(cell, value))
        return "" if value is None else str(value)

    lines = [
        "# Recipes",
        "",
        "Written by `python docs/generate.py` from `resnet_layers/training/recipes.py`.",
        "",
        "`python -m resnet_layers train --recipe NAME` takes one, and options in the place of its "
        "fields. [Photographs from disk](photographs.md#recipes) has them in Python, and the "
        "docstring of `Recipe` says what each field means.",
        "",
        "| field | " + " | ".join(f"`{name}`" for name in names) + " |",
        "| --- |" + " --- |" * len(names),
    ]
    for field in fields:
        values = [cell(getattr(RECIPES[name], field.name)) for name in names]
        lines.append(f"| `{field.name}` | " + " | ".join(values) + " |")
    lines += ["", "| recipe | where it is from, and what it came to there |", "| --- | --- |"]
    lines += [f"| `{name}` | {RECIPES[name].source} |" for name in names]
    return "\n".join(lines) + "\n"


def serving_speed_page() -> str:
    """The page of serving, from one measurement for each machine."""
    from benchmarks.serving import tables as serving_tables

    files = sorted((FOLDER / "data").glob("serving*.json"))
    return serving_tables.page([json.loads(file.read_text(encoding="utf-8")) for file in files])


def tuning_worth_page() -> str:
    """The page of what a search is worth, from one run."""
    from benchmarks.tuning_worth import tables as tuning_tables

    file = FOLDER / "data" / "tuning.json"
    return tuning_tables.page(json.loads(file.read_text(encoding="utf-8")))


def measured() -> dict[str, Path]:
    """What `pytest benchmarks/ --results FILE.json` has written, by the machine in its name."""
    files = sorted((FOLDER / "data").glob("benchmarks-*.json"), key=lambda file: file.stem)
    return {file.stem.removeprefix("benchmarks-"): file for file in files}


def speed_page() -> str:
    """The page of speed, one part for each machine: figures, and the tables that they show."""
    from benchmarks.harness import plots, tables
    from benchmarks.harness.report import Results

    lines = [
        "# Speed",
        "",
        "Written by `python docs/generate.py` from `docs/data/benchmarks-*.json`, which "
        "`pytest benchmarks/ --results FILE.json` measures.",
        "",
        "A ratio is the time of the baseline over that of a contender: 2 means twice as fast. It "
        "is the median of paired rounds, and half of the rounds lie between the quartiles. An "
        "exponent is the power of size with which a cost grows: 1 means twice the time for twice "
        "the size. The roof of a network is what the machine allows: the speed of a matrix "
        "product, or that of memory times the network's operations for each byte, whichever is "
        "less. Fewer than six rounds say nothing of an interval. A difference is that of results, "
        "or of gradients, which rounding moves further: in bfloat16 it is the root mean square. "
        "Among peers `keras.applications` is a network of its own, with 6 % fewer operations. "
        "How all is measured is said in "
        "[benchmarks/README.md](../benchmarks/README.md).",
    ]
    for machine, file in measured().items():
        results = Results.read(file)
        about = results.machine
        images = plots.names(machine, plots.figures(results))
        gpu = "no GPU" if about["GPU"] == "none" else about["GPU"]
        place = f"{about['processor']}, {about['cores']} cores, {gpu}"
        lines += ["", f"## {place}, Keras {about['keras']}", ""]
        lines += tables.about(results)
        for title, table in tables.parts(results):
            lines += ["", f"### {title}", ""]
            for image in images.get(title, []):
                lines += [f"![{title}](images/{image})", ""]
            lines += table
    return "\n".join(lines) + "\n"


def write_figures() -> None:
    """The figures of the page of speed; those of data that are gone go as well."""
    from benchmarks.harness import plots

    images = FOLDER / "images"
    written = [
        path for machine, file in measured().items() for path in plots.write(file, machine, images)
    ]
    for path in images.glob("*.svg"):
        if path not in written and plots.digest_in(path):
            path.unlink()


def architecture_picture() -> str:
    """The rooms of the package, and which imports which."""
    import architecture

    return architecture.picture()


def drawings() -> dict[str, Callable[[], str]]:
    """Drawings of networks, by their files; they are what notebooks show."""
    from resnet_layers.analysis.drawing import draw
    from resnet_layers.analysis.profile import profile

    figure = ["vgg19", "plain34", "paper_resnet34"]
    made = {
        "vgg19-plain34-resnet34": lambda: draw(figure),
        "resnet50-blocks": lambda: draw("resnet50", detail="blocks", horizontal=True),
        "resnet50-macs": lambda: profile("resnet50").bars(),
    }
    return {
        f"images/{name}.svg": lambda make=make: make()._repr_svg_()  # type: ignore[misc]
        for name, make in made.items()
    }


def study() -> Any:
    """The study of `depth.md`."""
    from resnet_layers.analysis.studies.results import Results

    found = json.loads((FOLDER / "data" / "degradation.json").read_text(encoding="utf-8"))
    return Results(found["study"], found["runs"])


def depth_figures() -> dict[str, Callable[[], str]]:
    """Figures of the study, by their files."""
    import tempfile

    from resnet_layers.analysis.studies import figures

    def drawn(name: str) -> str:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{name}.svg"
            figures.write(name, study(), path)
            return path.read_text(encoding="utf-8")

    return {
        f"images/depth-{name}.svg": lambda name=name: drawn(name)  # type: ignore[misc]
        for name in figures.FIGURES
    }


def with_table(page: str, table: Iterable[str]) -> str:
    """A page as it is, with a table of data in the place of its first one."""
    lines = (FOLDER / page).read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| "))
    end = start + sum(1 for _ in itertools.takewhile(lambda x: x.startswith("| "), lines[start:]))
    lines[start:end] = table
    return "\n".join(lines) + "\n"


def depth_page() -> str:
    """The page of depth, with the table of the study."""
    return with_table("depth.md", study().table("markdown").splitlines())


def latency() -> Any:
    """What `latency.md` is about."""
    return json.loads((FOLDER / "data" / "latency.json").read_text(encoding="utf-8"))


def latency_page() -> str:
    """The page of latency, with how far predictions are off."""
    from benchmarks.latency import tables

    return with_table("latency.md", tables.errors(latency()))


def choosing_page() -> str:
    """The page about choosing a network, with what some take."""
    from benchmarks.latency import tables

    return with_table("choosing.md", tables.choices(latency()))


def latency_figure() -> str:
    """Operations against milliseconds."""
    import tempfile

    from matplotlib import rc_context, style
    from matplotlib.figure import Figure

    from benchmarks.latency import tables

    same = rc_context({"svg.hashsalt": "latency", "svg.fonttype": "none"})
    with tempfile.TemporaryDirectory() as folder, style.context("default"), same:
        path = Path(folder) / "latency.svg"
        figure = Figure(figsize=(8, 6), layout="constrained")
        tables.draw(figure, latency())
        figure.savefig(path, metadata={"Date": None})
        return path.read_text(encoding="utf-8")


PAGES = {
    **drawings(),
    **depth_figures(),
    "depth.md": depth_page,
    "latency.md": latency_page,
    "choosing.md": choosing_page,
    "images/latency.svg": latency_figure,
    "images/architecture.svg": architecture_picture,
    "variants.md": variants_page,
    "recipes.md": recipes_page,
    "serving_speed.md": serving_speed_page,
    "tuning_worth.md": tuning_worth_page,
}
if measured():
    PAGES["speed.md"] = speed_page

if __name__ == "__main__":
    write_figures()
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
