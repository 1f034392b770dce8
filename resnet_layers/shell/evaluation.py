"""What an evaluation has come to, and a page of it that a person can look at."""

import base64
import dataclasses
import html
import io
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_layers.training.pictures import ImageSource, quiet, square

MOST_CLASSES = 30  # whose matrix a person can read
MOST_SHOWN = 24
_SIDE = 96  # pixels of a thumbnail
_BINS = 10

_PAGE = Template(
    """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>$title</title><style>
body { font: 15px/1.5 sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse } th, td { padding: .15rem .6rem; text-align: right }
th { font-weight: 600 } th:first-child { text-align: left } figure { margin: 0; width: 10rem }
.wrong { display: flex; flex-wrap: wrap; gap: 1rem }
figcaption { font-size: 12px; overflow-wrap: anywhere }
</style></head><body>
<h1>$title</h1>
<p>$images images, loss $loss, accuracy $accuracy, expected calibration error $error.</p>
<h2>Most confidently wrong</h2><div class="wrong">$wrong</div>
<h2>By class</h2>$classes
<h2>What is taken for what</h2>$confusion
<h2>Calibration</h2>
<p>How often the first answer is right, by the probability that it is given. Guo et al., On
calibration of modern neural networks, 2017.</p>$calibration
</body></html>
"""
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Probabilities of labelled images.

    Args:
        sources: The images.
        names: What they are called, in the folder that they are from.
        labels: Index of each image's class, (N,).
        class_names: Of the network's outputs.
        probabilities: (N, classes).
        loss: Mean cross-entropy.
        accuracy: Share of images whose most probable class is theirs.
    """

    sources: Sequence[ImageSource]
    names: Sequence[str]
    labels: NDArray[np.int64]
    class_names: Sequence[str]
    probabilities: NDArray[np.float32]
    loss: float
    accuracy: float

    @property
    def result(self) -> dict[str, Any]:
        """`{"images": …, "loss": …, "accuracy": …}`."""
        return {"images": len(self.labels), "loss": self.loss, "accuracy": self.accuracy}

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The most probable class of each image, (N,)."""
        return self.probabilities.argmax(-1)

    def confusion(self) -> NDArray[np.int64]:
        """How many images of each class, in rows, are taken for each class, in columns."""
        number = len(self.class_names)
        places = number * self.labels + self.predicted
        return np.bincount(places, minlength=number**2).reshape(number, number)

    def calibration(self) -> list[tuple[float, float, int]]:
        """Mean probability of the first answer, share of right ones and count, for tenths."""
        sure = self.probabilities.max(-1)
        tenth = np.minimum((sure * _BINS).astype(int), _BINS - 1)
        right = self.predicted == self.labels
        return [
            (float(sure[tenth == i].mean()), float(right[tenth == i].mean()), int(count))
            for i, count in enumerate(np.bincount(tenth, minlength=_BINS))
            if count
        ]

    def calibration_error(self) -> float:
        r"""$\sum_b n_b / n \, |a_b - p_b|$ over tenths of the probability of the first answer."""
        return sum(n * abs(a - p) for p, a, n in self.calibration()) / len(self.labels)

    def most_wrong(self) -> list[int]:
        """Places of the images whose wrong class is the most probable, the surest first."""
        sure = np.where(self.predicted == self.labels, -1.0, self.probabilities.max(-1))
        order = (-sure).argsort(kind="stable")[:MOST_SHOWN]
        return [int(i) for i in order if sure[i] >= 0.0]

    def write_page(self, path: Path, title: str) -> None:
        """As HTML that needs nothing but itself."""
        page = _PAGE.substitute(
            title=html.escape(title),
            images=len(self.labels),
            loss=f"{self.loss:.4f}",
            accuracy=f"{self.accuracy:.2%}",
            error=f"{self.calibration_error():.2%}",
            wrong=self._thumbnails(),
            classes=self._classes(),
            confusion=self._confusion(),
            calibration=self._diagram(),
        )
        path.write_text(page, encoding="utf-8", errors="replace")

    def _thumbnails(self) -> str:
        found = []
        with quiet():
            for i in self.most_wrong():
                truth, wrong = (self._name(int(c[i])) for c in (self.labels, self.predicted))
                share = f"{self.probabilities[i].max():.1%}"
                said = f"{truth} taken for {wrong}, {share}<br>{html.escape(self.names[i])}"
                image = f'<img alt="" src="{_thumbnail(self.sources[i])}">'
                found.append(f"<figure>{image}<figcaption>{said}</figcaption></figure>")
        return "".join(found) or "None."

    def _classes(self) -> str:
        table = self.confusion()
        right, there, taken = np.diagonal(table), table.sum(1), table.sum(0)
        order = sorted(np.flatnonzero(there).tolist(), key=lambda i: right[i] / there[i])
        rows = [
            (self._name(i), there[i], f"{right[i] / there[i]:.1%}", _share(right[i], taken[i]))
            for i in order
        ]
        return _table(("class", "images", "found", "right where it is answered"), rows)

    def _confusion(self) -> str:
        table = self.confusion()
        if len(table) <= MOST_CLASSES:
            names = [self._name(i) for i in range(len(table))]
            rows = [
                (name, *(_shaded(n, row.sum()) for n in row))
                for name, row in zip(names, table, strict=True)
            ]
            return _table(("", *names), rows)
        others = table - np.diag(np.diagonal(table))
        order = (-others).ravel().argsort(kind="stable")[:MOST_CLASSES]
        pairs = [divmod(int(i), len(table)) for i in order if others.ravel()[i]]
        rows = [(self._name(a), self._name(b), table[a, b]) for a, b in pairs]
        return _table(("class", "taken for", "images"), rows)

    def _diagram(self) -> str:
        from matplotlib import style
        from matplotlib.figure import Figure

        with style.context("default"):
            figure = Figure(figsize=(4, 4), layout="constrained")
            axes = figure.subplots()
            axes.plot([0, 1], [0, 1], "--", color="grey")
            sure, right, counts = zip(*self.calibration(), strict=True)
            axes.scatter(sure, right, [20 + 180 * n / len(self.labels) for n in counts])
            axes.set(xlabel="probability", ylabel="share of right ones", xlim=(0, 1), ylim=(0, 1))
            buffer = io.StringIO()
            figure.savefig(buffer, format="svg", metadata={"Date": None})
        return buffer.getvalue().partition("<svg")[1] + buffer.getvalue().partition("<svg")[2]

    def _name(self, number: int) -> str:
        return html.escape(str(self.class_names[number]))


def _thumbnail(source: ImageSource) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(square(source, _SIDE)).save(buffer, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = ["<table><tr>", *(f"<th>{name}</th>" for name in head), "</tr>"]
    for first, *others in rows:
        cells = [one if str(one).startswith("<td") else f"<td>{one}</td>" for one in others]
        lines += [f"<tr><th>{first}</th>", *cells, "</tr>"]
    return "".join([*lines, "</table>"])


def _shaded(count: int, total: int) -> str:
    share = count / total if total else 0.0
    return f'<td style="background: rgb(0 114 178 / {share:.2f})">{count or ""}</td>'


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else ""
