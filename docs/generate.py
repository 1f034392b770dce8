"""Writes the pages of `docs/` that are made from data: `python docs/generate.py`."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from resnet_layers import styles
from resnet_layers._layout import Layout
from resnet_layers.styles import STYLES
from resnet_layers.variants import VARIANTS

FOLDER = Path(__file__).parent
sys.path.append(str(FOLDER.parent))  # `benchmarks` is not installed


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
        "Written by `python docs/generate.py` from `resnet_layers/variants.py`.",
        "",
        "`rl.ResNet.from_variant(name, classes=…)` makes one; any field of its row or of its style "
        "can be overridden. Parameters are the trainable ones at 1000 classes.",
        "",
        "| name | parameters | blocks | filters | body | groups × width | stem | style | and |",
        "| --- | ---: | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in VARIANTS.items():
        style, changes = nearest_style(row.style)
        if row.widths is not None:
            changes.append("irregular widths")
        cells = [
            f"`{name}`",
            f"{row.parameters:,}",
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
    for name, row in VARIANTS.items():
        sources.setdefault(row.source, []).append(f"`{name}`")
    lines += [f"- {source}: {', '.join(names)}" for source, names in sources.items()]
    return "\n".join(lines) + "\n"


def serving_speed_page() -> str:
    """The page of serving, from one measurement for each machine."""
    from benchmarks import serving_tables

    files = sorted((FOLDER / "data").glob("serving*.json"))
    return serving_tables.page([json.loads(file.read_text(encoding="utf-8")) for file in files])


PAGES = {"variants.md": variants_page, "serving_speed.md": serving_speed_page}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
