"""`Budget`: which samples may be built, and what takes the place of those that may not."""

import itertools
from collections.abc import Sequence
from typing import Any

import keras_tuner

from resnet_layers._support import checks
from resnet_layers.analysis.latency.machine import Machine
from resnet_layers.analysis.latency.prediction import machine_for, seconds_of
from resnet_layers.networks import walks
from resnet_layers.networks.cost import Cost, cost_of
from resnet_layers.tuning import network, repairs
from resnet_layers.tuning.space import Sample, Space

# What milliseconds are predicted for: one image in ONNX Runtime.
_RUNTIME, _BATCH = "onnx", 1


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
        max_milliseconds: Most milliseconds that are predicted for an image, or `None`.
        machine: The machine that they are predicted for; `None` for this one.

    Raises:
        ValueError: If a bound is not positive, if no network of the space fits, or if this machine
            has not been measured.
        TypeError: If a bound is no number, or `machine` no `Machine`.
    """

    def __init__(
        self,
        space: Space,
        classes: int,
        input_shape: Sequence[int | None],
        max_parameters: float | None,
        max_macs: float | None,
        max_milliseconds: float | None = None,
        machine: Machine | None = None,
    ) -> None:
        self.space, self.classes, self.input_shape = space, classes, tuple(input_shape)
        given = {
            "max_parameters": max_parameters,
            "max_macs": max_macs,
            "max_milliseconds": max_milliseconds,
        }
        self.bounds = {
            name: checks.positive(name, value) for name, value in given.items() if value is not None
        }
        resized = any(entry.kind == "image_size" for entry in space.entries)
        for name in self.bounds:
            if name != "max_parameters" and None in self.input_shape and not resized:
                raise ValueError(
                    f"`{name}` must be None where the size of images is unknown. Received: "
                    f"{name}={self.bounds[name]:g}, input_shape={self.input_shape}, image_size=None"
                )
        self.machine = machine
        if max_milliseconds is not None or not isinstance(machine, Machine | None):
            self.machine = machine_for(_RUNTIME, machine)
        self.smallest: Sample = {}
        if self.bounds:
            self._start_within()

    def cost(self, sample: Sample) -> Cost:
        """Parameters and multiply-adds of a sample's network, without making it."""
        return cost_of(network.row(sample), self.classes, self._image(sample))

    def milliseconds(self, sample: Sample) -> float:
        """What is predicted for an image in a sample's network."""
        machine = machine_for(_RUNTIME, self.machine)
        walk = walks.of_row(network.row(sample), self.classes, self._image(sample))
        return 1000 * seconds_of(walk, _BATCH, _RUNTIME, machine)

    def fits(self, sample: Sample) -> bool:
        """Whether a sample may be built."""
        return not self.bounds or self._excess(sample) <= 1.0

    def refuse(self, hp: keras_tuner.HyperParameters) -> None:
        """Raises an `OverBudgetError` for a sample that may not be built."""
        sample = self.space.sample(hp)
        if not self.fits(sample):
            raise OverBudgetError(f"Over budget: {checks.some(self._told(sample), str)}")

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
        taken: dict[str, float] = {"max_parameters": cost.parameters, "max_macs": cost.macs}
        if "max_milliseconds" in self.bounds:
            taken["max_milliseconds"] = self.milliseconds(sample)
        return max(taken[name] / bound for name, bound in self.bounds.items())

    def _told(self, sample: Sample) -> list[str]:
        """What a sample takes, in words."""
        cost = self.cost(sample)
        said = [f"{cost.parameters} parameters", f"{cost.macs} multiply-adds"]
        if "max_milliseconds" in self.bounds:
            said.append(f"{self.milliseconds(sample):.3g} milliseconds")
        return said

    def _image(self, sample: Sample) -> tuple[int, int, int]:
        height, width = network.image_size(sample, self.input_shape)
        # Where the sizes are unknown, so are the multiply-adds, and nobody asks for them.
        return (height or 1, width or 1, self.input_shape[-1] or 1)

    def _start_within(self) -> None:
        self.smallest = self.space.smallest(self._excess)
        if not self.fits(self.smallest):
            has, *takes = self._told(self.smallest)
            received = checks.some(self.bounds.items(), lambda bound: f"{bound[0]}={bound[1]}")
            raise ValueError(
                f"The budget must let the smallest network of the space through, which has {has} "
                f"and takes {checks.some(takes, str, ' and ')}. Received: {received}"
            )
        hp = keras_tuner.HyperParameters()
        self.space.declare(hp)
        if not self.fits(self.space.sample(hp)):
            self.space.start_from(self.smallest)
