"""Writes the pages of `docs/` that are made from data: `python docs/generate.py`."""

from pathlib import Path

from resnet_layers.variants import VARIANTS

FOLDER = Path(__file__).parent


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
        "| name | parameters | blocks | filters | body | groups × width | style |",
        "| --- | ---: | --- | --- | --- | --- | --- |",
    ]
    for name, row in VARIANTS.items():
        groups = f"{row.groups} × {row.group_width}" if row.group_width else ""
        lines.append(
            f"| `{name}` | {row.parameters:,} | {', '.join(map(str, row.blocks))} "
            f"| {', '.join(map(str, row.filters))} "
            f"| {'bottleneck' if row.bottleneck else 'basic'} | {groups} | `{row.style}` |"
        )
    lines += ["", "Sources:", ""]
    sources: dict[str, list[str]] = {}
    for name, row in VARIANTS.items():
        sources.setdefault(row.source, []).append(f"`{name}`")
    lines += [f"- {source}: {', '.join(names)}" for source, names in sources.items()]
    return "\n".join(lines) + "\n"


PAGES = {"variants.md": variants_page}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
