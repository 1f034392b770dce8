"""Networks made to run, eagerly, as graphs and under XLA: the only file that knows the backend."""

import contextlib
import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from benchmarks.harness import devices

# So small that steps cannot lead apart what rounding has made differ.
LEARNING_RATE = 1e-9
MOMENTUM = 0.9
MODES = ("eager", "graph", "XLA")
LACKS = {
    ("jax", "graph"): "JAX has no graphs without XLA",
    ("torch", "XLA"): "torch compiles without XLA",
}


def compiled_modes() -> list[str]:
    """How the backend compiles, the usual way first."""
    backend = keras.backend.backend()
    return [mode for mode in ("graph", "XLA") if (backend, mode) not in LACKS]


class UnavailableError(Exception):
    """What the backend or the machine does not have."""


@dataclass(frozen=True)
class Execution:
    """A computation that has run twice and is ready to be timed.

    Args:
        run: Computes once and returns the result as an array; nothing is left running.
        first: What the first run has returned.
        trace_seconds: Time of running the Python code on symbols.
        compile_seconds: Time of the first run less that of the second.
        traces: How often the Python code has run on symbols so far.
        operations: Nodes of the graph of TensorFlow, before it is optimized.
        learned: What the steps so far have made, by the `id` of the model's variables: the
            momentum of what is trained, the value of what is not.
    """

    run: Callable[[], Any]
    first: Any
    trace_seconds: float
    compile_seconds: float
    traces: Callable[[], int]
    operations: int | None = None
    learned: Callable[[], dict[int, Any]] = dict

    @property
    def retraces(self) -> int:
        """How often it was traced beyond the first time."""
        return max(0, self.traces() - 1)


def forward(model: Any, images: Any, mode: str = "graph", device: str = "cpu:0") -> Execution:
    """Inference: from images to the output.

    Raises:
        UnavailableError: If the backend has no such mode.
    """

    def pure(state: Any, x: Any) -> Any:
        return model.stateless_call(*state, x, training=False)[0]

    def call(x: Any) -> Any:
        with _without_gradients():
            return model(x, training=False)

    with devices.scope(device):
        x = keras.ops.convert_to_tensor(images)
        if keras.backend.backend() == "jax":
            state = _values(model.trainable_variables), _values(model.non_trainable_variables)
            return _execution(pure, lambda: (state, x), mode, device)
        return _execution(call, lambda: (x,), mode, device)


def training_step(
    model: Any, images: Any, labels: Any, mode: str = "graph", device: str = "cpu:0"
) -> Execution:
    """One step: forward, loss, gradient, SGD with momentum, statistics of normalization.

    Raises:
        UnavailableError: If the backend has no such mode.
    """
    with devices.scope(device):
        optimizer = keras.optimizers.SGD(LEARNING_RATE, momentum=MOMENTUM)
        optimizer.build(model.trainable_variables)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        x, y = keras.ops.convert_to_tensor(images), keras.ops.convert_to_tensor(labels)
        if keras.backend.backend() == "jax":
            return _training_on_jax(model, optimizer, loss, x, y, mode, device)
        make = _step_of_torch if keras.backend.backend() == "torch" else _step_of_tensorflow
        step = make(model, optimizer, loss)
        learned = functools.partial(_learned, model, optimizer)
        return _execution(step, lambda: (x, y), mode, device, learned=learned)


def _without_gradients() -> Any:
    if keras.backend.backend() == "torch":
        import torch

        return torch.no_grad()
    return contextlib.nullcontext()


def _step_of_tensorflow(model: Any, optimizer: Any, loss: Any) -> Callable[..., Any]:
    import tensorflow as tf

    def step(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            value = loss(y, model(x, training=True))
        gradients = tape.gradient(value, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        return value

    return step


def _step_of_torch(model: Any, optimizer: Any, loss: Any) -> Callable[..., Any]:
    import torch

    def step(x: Any, y: Any) -> Any:
        model.zero_grad()
        value = loss(y, model(x, training=True))
        value.backward()
        with torch.no_grad():
            optimizer.apply([variable.value.grad for variable in model.trainable_variables])
        return value.detach()

    return step


def _training_on_jax(
    model: Any, optimizer: Any, loss: Any, x: Any, y: Any, mode: str, device: str
) -> Execution:
    """Values of variables go from one run to the next, in place."""
    import jax

    def step(state: Any, x: Any, y: Any) -> Any:
        trainable, others, slots = state

        def value(trainable: Any) -> Any:
            outputs, updated = model.stateless_call(trainable, others, x, training=True)
            return loss(y, outputs), updated

        (result, updated), gradients = jax.value_and_grad(value, has_aux=True)(trainable)
        trainable, slots = optimizer.stateless_apply(slots, gradients, trainable)
        return result, (trainable, updated, slots)

    groups = model.trainable_variables, model.non_trainable_variables, optimizer.variables
    # Copies, since a compiled step gives the memory of its arguments away.
    state = [tuple([value.copy() for value in _values(variables)] for variables in groups)]

    def keep(result: Any) -> Any:
        result, state[0] = jax.block_until_ready(result)  # type: ignore[no-untyped-call]
        return result

    def learned() -> dict[int, Any]:
        for variables, values in zip(groups, state[0], strict=True):
            for variable, new in zip(variables, values, strict=True):
                variable.assign(new)
        return _learned(model, optimizer)

    return _execution(
        step, lambda: (state[0], x, y), mode, device, donate=0, keep=keep, learned=learned
    )


def _learned(model: Any, optimizer: Any) -> dict[int, Any]:
    pairs = [
        *zip(model.trainable_variables, optimizer.momentums, strict=True),
        *((variable, variable) for variable in model.non_trainable_variables),
    ]
    return {id(v): np.array(keras.ops.convert_to_numpy(made)) for v, made in pairs}


def _values(variables: Any) -> list[Any]:
    return [variable.value for variable in variables]


def _execution(
    function: Callable[..., Any],
    arguments: Callable[[], tuple[Any, ...]],
    mode: str,
    device: str,
    *,
    donate: Any = (),
    keep: Callable[[Any], Any] = lambda result: result,
    learned: Callable[[], dict[int, Any]] = dict,
) -> Execution:
    backend = keras.backend.backend()
    if reason := LACKS.get((backend, mode)):
        raise UnavailableError(reason)
    start = time.perf_counter()
    call, traces, operations = function, _never, None
    if mode != "eager":
        call, traces, operations = _COMPILE[backend](function, arguments(), mode, donate)

    def run() -> Any:
        with devices.scope(device):  # without it JAX would compile once more
            result = keep(call(*arguments()))
            _wait(backend)
            return keras.ops.convert_to_numpy(result)

    traced = time.perf_counter()
    result = run()
    first = time.perf_counter()
    run()
    second = time.perf_counter()
    return Execution(
        run=run,
        first=result,
        trace_seconds=traced - start,
        compile_seconds=max(0.0, (first - traced) - (second - first)),
        traces=traces,
        operations=operations,
        learned=learned,
    )


def _never() -> int:
    return 0


def _counted(function: Callable[..., Any]) -> tuple[Callable[..., Any], Callable[[], int]]:
    traces: list[None] = []

    def counted(*arguments: Any) -> Any:
        traces.append(None)
        return function(*arguments)

    return counted, lambda: len(traces)


def _compile_with_tensorflow(function: Any, arguments: Any, mode: str, donate: Any) -> Any:
    import tensorflow as tf

    counted, traces = _counted(function)
    graph = tf.function(counted, jit_compile=mode == "XLA", autograph=False)
    concrete = graph.get_concrete_function(*arguments)
    return graph, traces, len(concrete.graph.get_operations())


def _compile_with_jax(function: Any, arguments: Any, mode: str, donate: Any) -> Any:
    import jax

    counted, traces = _counted(function)
    compiled = jax.jit(counted, donate_argnums=donate)
    compiled.lower(*arguments)  # what it has traced is kept
    return compiled, traces, None


def _compile_with_torch(function: Any, arguments: Any, mode: str, donate: Any) -> Any:
    import torch
    from torch._dynamo.testing import CompileCounterWithBackend

    counter = CompileCounterWithBackend("inductor")
    compiled = torch.compile(function, backend=counter, dynamic=False)
    return compiled, lambda: counter.frame_count, None


_COMPILE = {
    "tensorflow": _compile_with_tensorflow,
    "jax": _compile_with_jax,
    "torch": _compile_with_torch,
}


def _wait(backend: str) -> None:
    """Returns when all devices are idle."""
    if backend == "tensorflow":
        import tensorflow as tf

        tf.test.experimental.sync_devices()
    elif backend == "torch":
        import torch

        if torch.cuda.is_available():
            torch.cuda.synchronize()
