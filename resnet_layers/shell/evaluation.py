"""What an evaluation has come to, and a page of it that a person can look at."""

import base64
import dataclasses
import html
import io
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from resnet_layers.training.history import score
from resnet_layers.training.pictures import ImageSource, quiet, square

MOST_CLASSES = 30  # whose matrix a person can read
MOST_SHOWN = 24
_SIDE = 96  # pixels of a thumbnail
_BINS = 10
_GUO = "Guo et al., On calibration of modern neural networks, 2017."

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
<p>$summary</p>
$sections
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
        loss: As of `mean_loss`.
    """

    sources: Sequence[ImageSource]
    names: Sequence[str]
    labels: NDArray[np.int64]
    class_names: Sequence[str]
    probabilities: NDArray[np.float32]
    loss: float

    @staticmethod
    def mean_loss(labels: NDArray[Any], outputs: NDArray[np.float32], activation: str) -> float:
        """Mean cross-entropy of outputs, logits where the activation is linear."""
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=activation == "linear")
        return float(loss(labels, outputs))

    @property
    def accuracy(self) -> float:
        """Share of images whose most probable class is theirs."""
        return float(np.mean(self.predicted == self.labels))

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
        return tenths(self.probabilities.max(-1), self.predicted == self.labels)

    def calibration_error(self) -> float:
        r"""$\sum_b n_b / n \, |a_b - p_b|$ over tenths of the probability of the first answer."""
        bins = self.calibration()
        return sum(n * abs(a - p) for p, a, n in bins) / sum(n for _, _, n in bins)

    def most_wrong(self) -> list[int]:
        """Places of the images whose wrong class is the most probable, the surest first."""
        sure = np.where(self.predicted == self.labels, -1.0, self.probabilities.max(-1))
        order = (-sure).argsort(kind="stable")[:MOST_SHOWN]
        return [int(i) for i in order if sure[i] >= 0.0]

    def write_page(self, path: Path, title: str) -> None:
        """As HTML that needs nothing but itself."""
        sections = "".join(f"<h2>{name}</h2>{text}\n" for name, text in self.sections())
        page = _PAGE.substitute(title=html.escape(title), summary=self.summary(), sections=sections)
        path.write_text(page, encoding="utf-8", errors="replace")

    def summary(self) -> str:
        """One sentence of figures."""
        figures = f"{len(self.labels)} images, {said(self.result)}"
        return f"{figures}, expected calibration error {self.calibration_error():.2%}."

    def sections(self) -> list[tuple[str, str]]:
        """Titles and contents of the page, as HTML."""
        wrong, sure = self.most_wrong(), self.probabilities.max(-1)
        said = [
            f"{self._name(self.labels[i])} taken for {self._name(self.predicted[i])}, {sure[i]:.1%}"
            for i in wrong
        ]
        return [
            ("Most confidently wrong", self._thumbnails(wrong, said)),
            ("By class", self._classes()),
            ("What is taken for what", self._confusion()),
            (
                "Calibration",
                "<p>How often the first answer is right, by the probability that it is given. "
                f"{_GUO}</p>{self._diagram()}",
            ),
        ]

    def _thumbnails(self, places: Sequence[int], said: Sequence[str]) -> str:
        """Images with what is said of each, as HTML, and their names."""
        found = []
        with quiet():
            for i, words in zip(places, said, strict=True):
                image = f'<img alt="" src="{_thumbnail(self.sources[i])}">'
                name = html.escape(self.names[i])
                caption = f"<figcaption>{words}<br>{name}</figcaption>"
                found.append(f"<figure>{image}{caption}</figure>")
        return f'<div class="wrong">{"".join(found) or "None."}</div>'

    def _classes(self) -> str:
        counts = self.confusion()
        right, there, taken = np.diagonal(counts), counts.sum(1), counts.sum(0)
        order = sorted(np.flatnonzero(there).tolist(), key=lambda i: right[i] / there[i])
        rows = [
            (self._name(i), there[i], f"{right[i] / there[i]:.1%}", share(right[i], taken[i]))
            for i in order
        ]
        return table(("class", "images", "found", "right where it is answered"), rows)

    def _confusion(self) -> str:
        counts = self.confusion()
        if len(counts) <= MOST_CLASSES:
            names = [self._name(i) for i in range(len(counts))]
            rows = [
                (name, *(_shaded(n, row.sum()) for n in row))
                for name, row in zip(names, counts, strict=True)
            ]
            return table(("", *names), rows)
        others = counts - np.diag(np.diagonal(counts))
        order = (-others).ravel().argsort(kind="stable")[:MOST_CLASSES]
        pairs = [divmod(int(i), len(counts)) for i in order if others.ravel()[i]]
        rows = [(self._name(a), self._name(b), counts[a, b]) for a, b in pairs]
        return table(("class", "taken for", "images"), rows)

    def _diagram(self) -> str:
        from matplotlib import style
        from matplotlib.figure import Figure

        with style.context("default"):
            figure = Figure(figsize=(4, 4), layout="constrained")
            axes = figure.subplots()
            axes.plot([0, 1], [0, 1], "--", color="grey")
            sure, right, counts = zip(*self.calibration(), strict=True)
            axes.scatter(sure, right, [20 + 180 * n / sum(counts) for n in counts])
            axes.set(xlabel="probability", ylabel="share of right ones", xlim=(0, 1), ylim=(0, 1))
            buffer = io.StringIO()
            figure.savefig(buffer, format="svg", metadata={"Date": None})
        return buffer.getvalue().partition("<svg")[1] + buffer.getvalue().partition("<svg")[2]

    def _name(self, number: int) -> str:
        return html.escape(str(self.class_names[number]))


def said(result: dict[str, Any]) -> str:
    """Loss and score of a result in words."""
    name = score(result)
    return f"loss {result['loss']:.6f}, {name.replace('_', ' ')} {result[name]:.2%}"


def tenths(sure: NDArray[np.float32], right: NDArray[np.bool_]) -> list[tuple[float, float, int]]:
    """Mean probability, share of right answers and count, for tenths of the probability."""
    tenth = np.minimum((sure * _BINS).astype(int), _BINS - 1)
    return [
        (float(sure[tenth == i].mean()), float(right[tenth == i].mean()), int(count))
        for i, count in enumerate(np.bincount(tenth, minlength=_BINS))
        if count
    ]


def _thumbnail(source: ImageSource) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(square(source, _SIDE)).save(buffer, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """As HTML; the first of each row is its title."""
    lines = ["<table><tr>", *(f"<th>{name}</th>" for name in head), "</tr>"]
    for first, *others in rows:
        cells = [one if str(one).startswith("<td") else f"<td>{one}</td>" for one in others]
        lines += [f"<tr><th>{first}</th>", *cells, "</tr>"]
    return "".join([*lines, "</table>"])


def _shaded(count: int, total: int) -> str:
    share = count / total if total else 0.0
    return f'<td style="background: rgb(0 114 178 / {share:.2f})">{count or ""}</td>'


def share(part: int, whole: int) -> str:
    """As a percentage; nothing of nothing."""
    return f"{part / whole:.1%}" if whole else ""
