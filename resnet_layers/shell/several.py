"""What an evaluation has come to where an image may have several classes, or none."""

import dataclasses
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from resnet_layers.shell import evaluation
from resnet_layers.shell.evaluation import MOST_SHOWN, share, table, tenths

_LEAST = 0.5  # probability from which on a class is answered


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation(evaluation.Evaluation):
    """Probabilities of labelled images, each of a class by itself; labels are rows of 0 and 1."""

    @staticmethod
    def mean_loss(labels: NDArray[Any], outputs: NDArray[np.float32], activation: str) -> float:
        """Mean binary cross-entropy over images and classes."""
        return float(keras.losses.BinaryCrossentropy()(labels, outputs))

    @property
    def precisions(self) -> dict[int, float]:
        r"""$\sum_k (R_k - R_{k-1}) P_k$ over the images by falling probability, by class.

        Classes without images are left out.
        """
        from sklearn.metrics import average_precision_score

        return {
            int(i): float(average_precision_score(self.labels[:, i], self.probabilities[:, i]))
            for i in np.flatnonzero(self.labels.any(0))
        }

    @property
    def result(self) -> dict[str, Any]:
        """`{"images": …, "loss": …, "mean_average_precision": …}`."""
        found = list(self.precisions.values())
        mean = float(np.mean(found)) if found else 0.0
        return {"images": len(self.labels), "loss": self.loss, "mean_average_precision": mean}

    def calibration(self) -> list[tuple[float, float, int]]:
        """Mean probability, share of images that have the class and count, for tenths."""
        return tenths(self.probabilities.ravel(), self.labels.ravel() == 1)

    def most_wrong(self) -> list[int]:
        """Places of images with a wrong answer, the one with the largest error first."""
        error = self._errors().max(-1)
        order = (-error).argsort(kind="stable")[:MOST_SHOWN]
        return [int(i) for i in order if error[i] >= _LEAST]

    def sections(self) -> list[tuple[str, str]]:
        """Titles and contents of the page, as HTML."""
        wrong = self.most_wrong()
        worst = self._errors().argmax(-1)
        said = [
            f"{self._name(c)} {'missed' if self.labels[i, c] else 'answered'}, "
            f"{self.probabilities[i, c]:.1%}"
            for i, c in zip(wrong, worst[wrong], strict=True)
        ]
        return [
            ("Most confidently wrong", self._thumbnails(wrong, said)),
            ("By class", self._classes()),
            (
                "Calibration",
                "<p>How often images have a class, by the probability that is given to it.</p>"
                f"{self._diagram()}",
            ),
        ]

    def _errors(self) -> NDArray[np.float32]:
        return np.abs(self.probabilities - self.labels)

    def _classes(self) -> str:
        answered = self.probabilities >= _LEAST
        right = (answered & (self.labels == 1)).sum(0)
        there, taken = self.labels.sum(0, dtype=np.int64), answered.sum(0)
        found = self.precisions
        rows = [
            (
                self._name(i),
                there[i],
                f"{found[i]:.1%}",
                *(share(right[i], n[i]) for n in (there, taken)),
            )
            for i in sorted(found, key=found.__getitem__)
        ]
        head = ("class", "images", "average precision", "found", "right where it is answered")
        return table(head, rows)
