"""The picture of `architecture.md`: floors from the contract, arrows from the imports."""

import itertools
import tomllib
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import grimp

PACKAGE = "resnet_layers"
WIDTH, FLOOR, ROOM, HEIGHT = 860, 92, 190, 46
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#7f7f7f", "#404040")
SAYS = {
    "shell": "what people type",
    "tuning": "searches",
    "analysis": "understood: costs, fields, twins",
    "training": "what training shares",
    "serving": "made smaller and served",
    "networks": "whole networks",
    "weights": "other libraries’ tensors",
    "layers": "what networks are made of",
    "_support": "checks, files, signals",
}


class Place(NamedTuple):
    """The middle of a room."""

    x: float
    y: float


def floors() -> list[list[str]]:
    """The rooms of each floor, the highest first, as the contract in `pyproject.toml` has them."""
    file = Path(__file__).parent.parent / "pyproject.toml"
    contracts = tomllib.loads(file.read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [[room.strip() for room in layer.split("|")] for layer in layers]


def arrows() -> Counter[tuple[str, str]]:
    """How many imports lead from one room to another."""
    graph = grimp.build_graph(PACKAGE)
    found: Counter[tuple[str, str]] = Counter()
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            rooms = tuple((*name.split("."), "")[1] for name in (module, imported))
            if rooms[0] != rooms[1] and all(room in SAYS for room in rooms):
                found[rooms[0], rooms[1]] += 1
    return found


def places() -> dict[str, Place]:
    """Rooms of one floor side by side, and those above each other shifted, so that arrows show."""
    found = {}
    for i, rooms in enumerate(floors()):
        for j, room in enumerate(rooms):
            shift = (-1) ** i * 110 if len(rooms) == 1 else (j - (len(rooms) - 1) / 2) * 380
            found[room] = Place(WIDTH / 2 + shift, (i + 0.6) * FLOOR)
    return found


def picture() -> str:
    """The picture as SVG."""
    at, height = places(), FLOOR * len(floors()) + 30
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" text-anchor="middle">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]
    colours = dict(zip(at, itertools.cycle(COLOURS), strict=False))
    for room, colour in colours.items():
        lines.append(
            f'<marker id="{room}" viewBox="0 0 6 6" refX="5" refY="3" markerWidth="6" '
            f'markerHeight="6" orient="auto" markerUnits="userSpaceOnUse">'
            f'<path d="M0 0 6 3 0 6z" fill="{colour}"/></marker>'
        )
    # By their places from the left within a floor, so that few of them cross.
    counted = sorted(
        arrows().items(),
        key=lambda item: [(at[room].y, at[room].x) for room in item[0]],
    )
    for (upper, lower), number in counted:
        a, b = at[upper], at[lower]
        leaves = [pair[1] for pair, _ in counted if pair[0] == upper]
        comes = [pair[0] for pair, _ in counted if pair[1] == lower]
        x1 = a.x + _spread(leaves.index(lower), len(leaves))
        x2 = b.x + _spread(comes.index(upper), len(comes))
        y1, y2 = a.y + HEIGHT / 2, b.y - HEIGHT / 2 - 2
        # Arrows that pass floors go around them.
        far = round(abs(b.y - a.y) / FLOOR) - 1
        side = 40 * far * (1 if (a.x + b.x) / 2 >= WIDTH / 2 else -1)
        lines.append(
            f'<path d="M{x1:.0f} {y1:.0f}C{x1 + side:.0f} {y1 + 30 + 20 * far:.0f} '
            f'{x2 + side:.0f} {y2 - 30 - 20 * far:.0f} {x2:.0f} {y2:.0f}" fill="none" '
            f'stroke="{colours[upper]}" stroke-width="{1 + number**0.5 / 3:.1f}" '
            f'marker-end="url(#{upper})"><title>{upper} → {lower}: {number} imports</title></path>'
        )
    for room, (x, y) in at.items():
        lines += [
            f'<rect x="{x - ROOM / 2:.0f}" y="{y - HEIGHT / 2:.0f}" width="{ROOM}" '
            f'height="{HEIGHT}" rx="6" fill="white" stroke="{colours[room]}" stroke-width="2"/>',
            f'<text x="{x:.0f}" y="{y - 3:.0f}" font-size="16" font-weight="bold">{room}</text>',
            f'<text x="{x:.0f}" y="{y + 15:.0f}" font-size="12">{SAYS[room]}</text>',
        ]
    total = sum(arrows().values())
    lines.append(
        f'<text x="{WIDTH / 2:.0f}" y="{height - 10}" font-size="12">{len(counted)} arrows for '
        f"{total} imports, all of them down; a wider one stands for more</text>"
    )
    return "\n".join([*lines, "</svg>", ""])


def _spread(i: int, count: int) -> float:
    """Where the i-th arrow of several leaves or meets a room."""
    return (i + 1) / (count + 1) * (ROOM - 20) - (ROOM - 20) / 2
