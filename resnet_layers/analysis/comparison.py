"""`compare`: networks side by side."""

import dataclasses
import html
import json
from collections.abc import Iterator, Sequence
from typing import Any

from resnet_layers._support import checks
from resnet_layers.analysis import conventions, tables
from resnet_layers.analysis.drawing import Detail, draw
from resnet_layers.analysis.picture import Picture
from resnet_layers.analysis.profile import Profile, profile


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Networks side by side; printed, it is a table.

    Args:
        profiles: What each of them takes.
        models: The networks.
        image: The images that all of them are given, in the order of their axes; `None` for the
            size of each.
    """

    profiles: tuple[Profile, ...]
    models: tuple[Any, ...] = ()
    image: tuple[int, ...] | None = None

    def __str__(self) -> str:
        return self.text()

    def text(self) -> str:
        """An aligned table, a line for each network, and below it what it counts."""
        return "\n".join([*tables.aligned([self._headings(), *self._cells()], 1), *self._notes()])

    def rows(self) -> list[dict[str, Any]]:
        """A mapping for each network, as `pandas.DataFrame` takes them."""
        return [{"network": p.name, "layers": p.layers, **_row(p)} for p in self.profiles]

    def to_csv(self) -> str:
        """The rows as CSV."""
        return tables.as_csv(self.rows())

    def to_json(self) -> str:
        """The rows as JSON."""
        first = self.profiles[0]
        counts = conventions.get(first.convention).counts
        about = {"batch": first.batch, "convention": first.convention, "counts": counts}
        return json.dumps({**about, "rows": self.rows()}, indent=1)

    def to_markdown(self) -> str:
        """The table in Markdown."""
        rule = ["---", *["---:"] * (len(self._headings()) - 1)]
        rows = (self._headings(), rule, *self._cells())
        lines = [tables.markdown_row(row) for row in rows]
        return "\n".join([*lines, "", *self._notes()])

    def draw(self, *, detail: Detail | None = None, horizontal: bool = False) -> Picture:
        """Draws the networks side by side, as `draw` does."""
        return draw(self.models, self.image, detail=detail, horizontal=horizontal)

    def _repr_html_(self) -> str:
        """The table for notebooks."""
        cells = ((html.escape(name), *others) for name, *others in self._cells())
        return tables.as_html(self._headings(), cells, 1, self._notes())

    def _headings(self) -> tuple[str, ...]:
        counted = conventions.get(self.profiles[0].convention).heading
        names = ("layers", "params", counted, "activations", "weights", "live", "field")
        return ("", "image", *names)

    def _cells(self) -> Iterator[tuple[str, ...]]:
        for found in self.profiles:
            total = found.total
            yield (
                found.name,
                tables.spread(found.input_shape, ""),
                str(found.layers),
                tables.short(total.params),
                tables.short(total.macs) + ("+?" if found.unknown else ""),
                tables.short(total.activations),
                tables.of_bytes(total.weight_bytes),
                tables.of_bytes(total.live_bytes),
                tables.spread(total.receptive_field, "-"),
            )

    def _notes(self) -> Iterator[str]:
        first = self.profiles[0]
        counted = conventions.get(first.convention)
        yield f"{counted.heading}: {counted.counts}, for {tables.images(first.batch)}"
        for found in self.profiles:
            for unknown in tables.names_of_unknown(found.unknown):
                yield f"unknown: {unknown} of {found.name}"


def compare(
    models: Sequence[Any],
    input_shape: Sequence[int] | None = None,
    batch: int = 1,
    dtype: Any = None,
    convention: str = "macs",
) -> Comparison:
    """What several networks take, side by side.

    Args:
        models: Names of variants, `ResNet`s, or any other Keras models; at least one.
        input_shape: As of `profile`, for all; `None` for the size of each.
        batch: Number of images, positive.
        dtype: As of `profile`.
        convention: As of `profile`.

    Returns:
        A `Comparison`. `print` shows its table; `rows()` gives it to pandas, and `draw()` draws
        the networks side by side.

    Raises:
        ValueError: If there is no model, and as of `profile`.
        TypeError: If `models` is no list, and as of `profile`.

    Example:

    >>> for row in compare(["vgg19", "plain34", "paper_resnet34"]).rows():
    ...     print(row["network"], row["layers"], f"{row['macs'] / 1e9:.1f}")
    vgg19 19 19.6
    plain34 34 3.6
    paper_resnet34 34 3.6

    Reference:
        He et al., Deep Residual Learning for Image Recognition, 2015, figure 3.
    """
    if not isinstance(models, list | tuple):
        raise TypeError(f"`models` must be a list of models. Received: models={models!r}")
    if not models:
        raise ValueError("`models` must have at least one model. Received: models=[]")
    image = None if input_shape is None else checks.integers("input_shape", input_shape)
    found = [profile(model, image, batch, dtype, convention) for model in models]
    return Comparison(tuple(found), tuple(models), image)


def _row(found: Profile) -> dict[str, Any]:
    """The numbers of a whole network."""
    row = found.rows(0)[0]
    left_out = ("name", "depth", "kind", "output_shape")
    return {
        "input_shape": found.input_shape,
        **{key: value for key, value in row.items() if key not in left_out},
    }
