"""A profile for people and for other programs: a tree, rows, CSV, JSON, Markdown, HTML."""

import csv
import dataclasses
import html
import io
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from resnet_layers._support import checks
from resnet_layers.analysis import conventions
from resnet_layers.analysis.parts import Part

_UNITS = ("", "k", "M", "G", "T", "P")
# Blocks, the innermost parts that a tree shows by itself.
DEPTH = 2


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Shown:
    """What a profile holds, and what that is shown as.

    Args:
        name: Of the network.
        input_shape: Of an image, in the order of the network's axes.
        batch: Number of images.
        dtype: Policy that bytes are counted for.
        convention: What `macs` counts.
        layers: Convolutions and dense layers, one after the other, as names of networks count.
        total: The whole network, with its parts.
        unknown: Class of each layer whose multiply-adds are not in the numbers, by its place.
        sees_all: Attention and normalization over pixels, which see the whole map, and which
            receptive fields leave out.
    """

    name: str
    input_shape: tuple[int, ...]
    batch: int
    dtype: str
    convention: str
    layers: int
    total: Part
    unknown: dict[str, str]
    sees_all: tuple[str, ...]

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:  # what a prompt shows
        return self.text()

    def text(self, depth: int | None = DEPTH) -> str:
        """An aligned tree down to a depth: 1 for stages, 2 for blocks, `None` for every layer."""
        return "\n".join([self._title(), *self._tree(depth), *self._footnotes()])

    def rows(self, depth: int | None = None) -> list[dict[str, Any]]:
        """A mapping for each part, as `pandas.DataFrame` takes them."""
        return [_row(part, self.name) for part in self.total.walk(_checked(depth))]

    def to_csv(self, depth: int | None = None) -> str:
        """The rows as CSV."""
        return as_csv(self.rows(depth))

    def to_json(self, depth: int | None = None) -> str:
        """The rows, and what they count, as JSON."""
        about = {
            "name": self.name,
            "input_shape": self.input_shape,
            "batch": self.batch,
            "dtype": self.dtype,
            "convention": self.convention,
            "counts": conventions.get(self.convention).counts,
            "unknown": self.unknown,
        }
        return json.dumps({**about, "rows": self.rows(depth)}, indent=1)

    def to_markdown(self, depth: int | None = DEPTH) -> str:
        """The tree as a table in Markdown, and below it what it counts."""
        cells = [self._headings(), *self._cells(_checked(depth), "&nbsp;&nbsp;")]
        rule = ["---", "---", *["---:"] * (len(cells[0]) - 2)]
        lines = [markdown_row(row) for row in (cells[0], rule, *cells[1:])]
        return "\n".join([*lines, "", self._title(), *self._footnotes()])

    def _repr_html_(self) -> str:
        """The tree as a table, for notebooks."""
        cells = self._cells(DEPTH, "&emsp;", html.escape)
        return as_html(self._headings(), cells, 2, self._footnotes(), self._title())

    def _title(self) -> str:
        size = "×".join(map(str, self.input_shape))
        return f"{self.name} · {images(self.batch)} of {size} · {self.dtype}"

    def _headings(self) -> tuple[str, ...]:
        counted = conventions.get(self.convention).heading
        return ("", "output", "params", counted, "activations", "live", "field", "stride")

    def _tree(self, depth: int | None) -> Iterator[str]:
        return aligned([self._headings(), *self._cells(_checked(depth), "  ")], 2)

    def _cells(
        self, depth: int | None, indent: str, escape: Any = str
    ) -> Iterator[tuple[str, ...]]:
        for part in self.total.walk(depth):
            name = part.path[-1] if part.path else self.name
            yield (
                indent * len(part.path) + escape(name),
                "×".join(map(str, part.output_shape)),
                short(part.params),
                short(part.macs) + ("+?" if _holds(part, self.unknown) else ""),
                short(part.activations),
                of_bytes(part.live_bytes),
                spread(part.receptive_field, "-"),
                spread(part.stride, ""),
            )

    def _footnotes(self) -> Iterator[str]:
        total = self.total
        counted = conventions.get(self.convention)
        yield (
            f"params: {total.params:,} numbers in variables, {total.trainable:,} of them trained; "
            f"{total.statistics:,} moving statistics apart; {of_bytes(total.weight_bytes)} in all"
        )
        yield f"{counted.heading}: {total.macs:,}, {counted.counts}"
        yield f"activations: {total.activations:,} numbers that convolutions and dense layers write"
        yield (
            f"live: at most {of_bytes(total.live_bytes)} of maps at once in inference; what works "
            "number by number writes over its input"
        )
        yield f"intensity: {total.intensity:.1f} operations for each byte read or written"
        if self.sees_all:
            count = len(self.sees_all)
            yield (
                f"field: without {count} operations that see the whole map, such as "
                f"{self.sees_all[0]}"
            )
        for unknown in names_of_unknown(self.unknown):
            yield f"unknown: {unknown}, whose operations are not in these numbers"


def aligned(rows: Sequence[Sequence[str]], left: int) -> Iterator[str]:
    """Lines of a table whose first columns are aligned to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Rows of equal keys as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0] if rows else (), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {k: "x".join(map(str, v)) if isinstance(v, tuple) else v for k, v in row.items()}
        )
    return text.getvalue()


def as_html(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    left: int,
    notes: Iterable[str],
    title: str = "",
) -> str:
    """A table of HTML, whose cells are HTML already, and lines of text below it."""
    aligns = ["left" if i < left else "right" for i in range(len(headings))]

    def line(cells: Sequence[str], tag: str) -> str:
        tags = zip(cells, aligns, strict=True)
        inner = "".join(f"<{tag} style='text-align:{side}'>{cell}</{tag}>" for cell, side in tags)
        return f"<tr>{inner}</tr>"

    caption = f"<caption>{html.escape(title)}</caption>" if title else ""
    body = "".join(line(row, "td") for row in rows)
    below = "".join(f"<p>{html.escape(note)}</p>" for note in notes)
    return f"<table>{caption}{line(headings, 'th')}{body}</table>{below}"


def markdown_row(cells: Iterable[str]) -> str:
    """A line of a table in Markdown."""
    escaped = (cell.replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def images(count: int) -> str:
    """How many images."""
    return "1 image" if count == 1 else f"{count} images"


def names_of_unknown(unknown: dict[str, str]) -> Iterator[str]:
    """The first layer of each class that nobody knows, and how many there are besides."""
    for kind in dict.fromkeys(unknown.values()):
        first, *others = [path for path, its in unknown.items() if its == kind]
        yield f"{first} ({kind})" + (f" and {len(others)} more" if others else "")


def short(number: float) -> str:
    """A number in three digits and a unit: `4.09 G`."""
    unit = 0
    while abs(number) >= 999.5 and unit < len(_UNITS) - 1:
        number, unit = number / 1000, unit + 1
    digits = 0 if unit == 0 or abs(number) >= 99.95 else 1 if abs(number) >= 9.995 else 2
    return f"{number:.{digits}f} {_UNITS[unit]}" if unit else f"{number:.0f}"


def two_digits(number: float) -> str:
    """A number whose other digits nobody knows: `120`, `1.3`."""
    return f"{float(f'{number:.2g}'):g}"


def of_bytes(number: int) -> str:
    """A number of bytes: `7.23 MB`."""
    text = short(number)
    return f"{text}B" if " " in text else f"{text} B"


def refuse_part(name: str, names: Collection[str]) -> NoReturn:
    """Says which parts there are."""
    close = get_close_matches(str(name), names, n=5) or [n for n in names if "/" not in n]
    listed = checks.some([found for found in close if found])
    raise ValueError(f"`name` must be that of a part, such as {listed}. Received: name={name!r}")


def _row(part: Part, name: str) -> dict[str, Any]:
    return {
        "name": part.name or name,
        "depth": len(part.path),
        "kind": part.kind,
        "output_shape": part.output_shape,
        "params": part.params,
        "trainable": part.trainable,
        "statistics": part.statistics,
        "macs": part.macs,
        "activations": part.activations,
        "weight_bytes": part.weight_bytes,
        "live_bytes": part.live_bytes,
        "receptive_field": part.receptive_field,
        "stride": part.stride,
        "centre": part.centre,
        "intensity": part.intensity,
    }


def _checked(depth: int | None) -> int | None:
    return None if depth is None else checks.integer("depth", depth, minimum=0)


def _holds(part: Part, unknown: dict[str, str]) -> bool:
    """Whether something in a part is unknown."""
    return any(not part.path or f"{path}/".startswith(f"{part.name}/") for path in unknown)


def spread(values: Sequence[int] | None, none: str) -> str:
    """One number where all are equal."""
    if values is None:
        return none
    return str(values[0]) if len(set(values)) == 1 else "×".join(map(str, values))
