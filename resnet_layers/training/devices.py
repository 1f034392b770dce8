"""`data_parallel`: training on several devices, each with its part of a batch."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import keras

from resnet_layers._support import checks
from resnet_layers._support.environment import split_cpu
from resnet_layers._support.errors import InputError
from resnet_layers.training import processes
from resnet_layers.training.recipes import Recipe


@contextlib.contextmanager
def data_parallel(devices: int) -> Iterator[None]:
    """Around all that makes a network and trains it: each device takes its part of every batch.

    On JAX these may be the devices of several processes, after `keras.distribution.initialize()`.
    All of them enter, and make the same variables in the same order, from the same seed.

    Gradients are averaged over the devices before a step. By `tf.distribute.MirroredStrategy` on
    TensorFlow, and by `keras.distribution.DataParallel` on JAX, on the GPUs or TPUs that there are;
    without one of these the CPU is split into virtual devices, on which nothing is faster, but
    a training can be tried.

    Args:
        devices: How many, positive; with 1 nothing is different. All of them, where there are
            several processes.

    Raises:
        InputError: If there are fewer, if the backend has no such training, or within another one
            with another number.
        TypeError: If the number is no integer.
        ValueError: If it is less than 1.

    Example:

    >>> from resnet_layers.training import data_parallel
    >>> with data_parallel(1):
    ...     model = ResNet.from_variant("cifar_resnet20", classes=10)
    ...     model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    """
    checks.integer("devices", devices)
    kinds = {"tensorflow": _tensorflow, "jax": _jax}
    backend = keras.backend.backend()
    if count() not in (1, devices):
        raise InputError(
            "`devices` must be the number of the devices that share batches here already. "
            f"Received: devices={devices}, within {count()}"
        )
    if devices in (1, count()) and (devices > 1 or processes.count() == 1):
        yield
        return
    if backend not in kinds:
        raise InputError(
            "`devices` must be 1 on other backends than TensorFlow and JAX. Received: "
            f"devices={devices}, on {backend}"
        )
    split_cpu(devices)
    with kinds[backend](devices):
        yield


def count() -> int:
    """The devices that share a batch, here and now."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return int(tf.distribute.get_strategy().num_replicas_in_sync)
    distribution = keras.distribution.distribution()
    return int(distribution.device_mesh.devices.size) if distribution else 1


@contextlib.contextmanager
def synchronized(model: Any) -> Iterator[None]:
    """Lets normalization see the whole batch, as on one device, on TensorFlow; JAX always does."""
    norms = [] if keras.backend.backend() != "tensorflow" or count() == 1 else _norms(model)
    before = [norm.synchronized for norm in norms]
    try:
        for norm in norms:
            norm.synchronized = True
        yield
    finally:
        for norm, was in zip(norms, before, strict=True):
            norm.synchronized = was


def share(weights: Any) -> Any:
    """The weight of this device's images beside that of others, on average 1.

    On TensorFlow each device divides by the weight of its own images; times this share, it is that
    of all.
    """
    if keras.backend.backend() != "tensorflow" or count() == 1:
        return 1.0
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    here = tf.reduce_sum(tf.cast(weights, tf.float32))
    if context is None:  # outside of a step there is the whole batch
        return 1.0
    return tf.math.divide_no_nan(here, context.all_reduce(tf.distribute.ReduceOp.MEAN, here))


def check_multiple(multiple: int) -> None:
    """Says that a batch does not divide here.

    Raises:
        InputError: If processes do not share their devices.
        ValueError: If it does not.
    """
    if count() < processes.count():
        raise InputError(
            "Several processes must train within `data_parallel`, on all of their devices. "
            f"Received: {count()} devices, {processes.count()} processes"
        )
    if multiple % count():
        raise ValueError(
            "`multiple` must be a multiple of the number of devices, between which a batch is "
            f"divided. Received: multiple={multiple}, {count()} devices"
        )


def check_model(model: Any) -> None:
    """Says that a network was made on other devices than these.

    Raises:
        InputError: If it was.
    """
    shared, there = count(), _of(model)
    if shared != there:
        raise InputError(
            "`model` must be made where it is trained, both within the same `data_parallel`, or "
            f"outside of one. Received: a model on {there} devices, trained on {shared}"
        )


def check_recipe(recipe: Recipe, compiled: str) -> None:
    """Says what Keras cannot do on several devices on TensorFlow.

    Args:
        recipe: What is to be done.
        compiled: `compile` of `Settings`.

    Raises:
        InputError: If it is that.
    """
    shared = count()
    if keras.backend.backend() != "tensorflow" or shared == 1:
        return
    for name, value, usual, why in (
        ("accumulate", recipe.accumulate, 1, "where Keras cannot accumulate gradients"),
        ("global_clipnorm", recipe.global_clipnorm, None, "where Keras limits that of each device"),
        ("compile", "graph" if compiled == "auto" else compiled, "graph", "which have no XLA"),
    ):
        if value != usual:
            raise InputError(
                f"`{name}` must be {usual!r} on several devices on TensorFlow, {why}; the JAX "
                f"backend has no such limit. Received: {name}={value!r}, {shared} devices"
            )


def _of(model: Any) -> int:
    """The devices that hold a model."""
    if keras.backend.backend() == "tensorflow":
        return min(len(getattr(variable.value, "values", (None,))) for variable in model.variables)
    if keras.backend.backend() != "jax":
        return 1
    return min(len(variable.value.sharding.device_set) for variable in model.variables)


def _norms(model: Any) -> list[Any]:
    layers = model._flatten_layers()
    return [one for one in layers if isinstance(one, keras.layers.BatchNormalization)]


@contextlib.contextmanager
def _tensorflow(devices: int) -> Iterator[None]:
    import tensorflow as tf

    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    names = [device.name for device in tf.config.list_logical_devices(kind)]
    _check(devices, len(names), kind)
    with _strategy(*names[:devices]).scope():
        yield


@functools.cache  # a model knows the one that it was made with
def _strategy(*names: str) -> Any:
    import tensorflow as tf

    # On a CPU there is no other, which TensorFlow would warn of.
    how = tf.distribute.ReductionToOneDevice() if "CPU" in names[0] else None
    return tf.distribute.MirroredStrategy(names, how)


@contextlib.contextmanager
def _jax(devices: int) -> Iterator[None]:
    names = keras.distribution.list_devices()  # of all processes
    _check(devices, len(names), names[0].partition(":")[0].upper())
    if processes.count() > 1 and devices < len(names):
        raise InputError(
            f"`devices` must be those of all processes, {len(names)}. Received: devices={devices}"
        )
    before = keras.distribution.distribution()
    # Each process reads its part of a batch, which divides.
    parallel = keras.distribution.DataParallel(devices=names[:devices], auto_shard_dataset=False)
    keras.distribution.set_distribution(parallel)
    try:
        yield
    finally:
        keras.distribution.set_distribution(before)


def _check(devices: int, there: int, kind: str) -> None:
    if devices > there:
        why = ", which is in use already and cannot be split" if kind == "CPU" else ""
        raise InputError(
            f"`devices` must be at most the number of devices, {there} {kind}{why}. "
            f"Received: devices={devices}"
        )
