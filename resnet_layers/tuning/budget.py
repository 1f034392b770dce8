"""`Budget`: which samples may be built, and what takes the place of those that may not."""

import itertools
from collections.abc import Sequence
from typing import Any

import keras_tuner

from resnet_layers._support import checks
from resnet_layers.networks.cost import Cost, cost_of
from resnet_layers.tuning import network, repairs
from resnet_layers.tuning.space import Sample, Space


class OverBudgetError(keras_tuner.errors.FailedTrialError):
    """A sample whose network is too large; `repairs.py` keeps it from ending a search."""


class Budget:
    """Bounds for the networks of a space.

    Args:
        space: The space; its defaults are moved if they do not fit.
        classes: Number of outputs.
        input_shape: `(height, width, channels)` of images.
        max_parameters: Most numbers in the variables of a network, or `None`.
        max_macs: Most multiply-adds for an image, or `None`.

    Raises:
        ValueError: If a bound is not positive, or if no network of the space fits.
        TypeError: If a bound is no number.
    """

    def __init__(
        self,
        space: Space,
        classes: int,
        input_shape: Sequence[int | None],
        max_parameters: float | None,
        max_macs: float | None,
    ) -> None:
        self.space, self.classes, self.input_shape = space, classes, tuple(input_shape)
        self.max_parameters = _bound("max_parameters", max_parameters)
        self.max_macs = _bound("max_macs", max_macs)
        resized = any(entry.kind == "image_size" for entry in space.entries)
        if self.max_macs and None in self.input_shape and not resized:
            raise ValueError(
                "`max_macs` must be None where the size of images is unknown. Received: "
                f"max_macs={self.max_macs:g}, input_shape={self.input_shape}, image_size=None"
            )
        self.smallest: Sample = {}
        if self.max_parameters or self.max_macs:
            self._start_within()

    def cost(self, sample: Sample) -> Cost:
        """Parameters and multiply-adds of a sample's network, without making it."""
        height, width = network.image_size(sample, self.input_shape)
        # Where the sizes are unknown, so are the multiply-adds, and nobody asks for them.
        shape = (height or 1, width or 1, self.input_shape[-1] or 1)
        return cost_of(network.row(sample), self.classes, shape)

    def fits(self, sample: Sample) -> bool:
        """Whether a sample may be built."""
        return not (self.max_parameters or self.max_macs) or self._excess(sample) <= 1.0

    def refuse(self, hp: keras_tuner.HyperParameters) -> None:
        """Raises an `OverBudgetError` for a sample that may not be built."""
        sample = self.space.sample(hp)
        if not self.fits(sample):
            cost = self.cost(sample)
            raise OverBudgetError(
                f"Over budget: {cost.parameters} parameters, {cost.macs} multiply-adds"
            )

    def replace(self, hp: keras_tuner.HyperParameters) -> None:
        """Gives another architecture to a sample that may not be built."""
        if self.fits(self.space.sample(hp)):
            return
        hp.rejected = dict(hp.values)
        self.space.redraw(hp, self.fits, self.smallest)
        if not self.fits(self.space.sample(hp)):  # somebody has fixed what is too large
            hp.values = hp.rejected
            self.refuse(hp)

    def end_exploring(self, hp: keras_tuner.HyperParameters) -> None:
        """Gives a tuner that is being made the sample that it asked for, where it was replaced.

        It is not made before each scope of the user's was entered, which the budget may never let
        happen: those after this see the sample, and those before count as entered.
        """
        rejected = vars(hp).get("rejected")
        if rejected and repairs.is_exploring():
            hp.values.update(rejected)
            hp.ensure_active_values()
            asked = [hp._conditions_are_active(scope) for scope in hp.inactive_scopes]
            hp.active_scopes += itertools.compress(hp.inactive_scopes, asked)

    def leave_grid(self, hp: keras_tuner.HyperParameters, callbacks: list[Any]) -> None:
        """Raises an `OverBudgetError` for a replaced point of a grid, with the point in `hp`.

        A grid computes each point from the one before, so none can be replaced; `fit` is the
        first to know which tuner there is.
        """
        rejected = vars(hp).pop("rejected", None)
        tuners = (getattr(callback, "tuner", None) for callback in callbacks)
        if rejected and any(isinstance(tuner, keras_tuner.GridSearch) for tuner in tuners):
            hp.values = rejected
            self.refuse(hp)

    def _excess(self, sample: Sample) -> float:
        """How many times the budget a sample takes, at most."""
        cost = self.cost(sample)
        return max(
            cost.parameters / self.max_parameters if self.max_parameters else 0.0,
            cost.macs / self.max_macs if self.max_macs else 0.0,
        )

    def _start_within(self) -> None:
        self.smallest = self.space.smallest(self._excess)
        if not self.fits(self.smallest):
            cost = self.cost(self.smallest)
            raise ValueError(
                "The budget must let the smallest network of the space through, which has "
                f"{cost.parameters} parameters and takes {cost.macs} multiply-adds. Received: "
                f"max_parameters={self.max_parameters}, max_macs={self.max_macs}"
            )
        hp = keras_tuner.HyperParameters()
        self.space.declare(hp)
        if not self.fits(self.space.sample(hp)):
            self.space.start_from(self.smallest)


def _bound(name: str, value: float | None) -> float | None:
    return None if value is None else checks.positive(name, value)
