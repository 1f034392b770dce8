# ruff: noqa: T201 (a command tells what it does)
"""The main job: train a network on images, write it down, and have another process check it."""

import html
import json
import math
from typing import Any

import keras

from resnet_layers._support import signals
from resnet_layers._support.files import replacing, save_model
from resnet_layers.layers.head import FLATTENING
from resnet_layers.networks import variants
from resnet_layers.networks.model import ResNet
from resnet_layers.serving.precision import with_dtype
from resnet_layers.shell import (
    classifier,
    data,
    errors,
    finishing,
    forecast,
    images,
    progress,
    resuming,
    runs,
    sheet,
    start,
)
from resnet_layers.shell.errors import InputError, printable
from resnet_layers.shell.evaluation import Evaluation
from resnet_layers.shell.images import Reader
from resnet_layers.shell.runs import MODEL, SETTINGS
from resnet_layers.shell.train_settings import TrainSettings
from resnet_layers.training import devices, history, processes
from resnet_layers.training.fine_tuning import set_trainable
from resnet_layers.training.fitting import DamagedError, Fitting
from resnet_layers.training.history import score
from resnet_layers.training.settings import Settings as FitSettings
from resnet_layers.training.states import State, UnwrittenError

HISTORY, CURVES, TEST, REPORT = "history.csv", "curves.png", "test.json", "report.html"
LOOK = "look.png"
FILES = (MODEL, HISTORY, CURVES, TEST, REPORT, SETTINGS)
LARGE = 96  # pixels on a side, beyond which a network should halve them in its stem
FEW_STEPS = 200


def run(settings: TrainSettings, *, quiet: bool = False, as_json: bool = False) -> int:
    """Trains, writes, and has a new process check what was written."""
    if not settings.look:
        processes.enter(settings.devices)
    is_first = processes.is_first()
    with runs.told(quiet=quiet or not is_first, as_json=as_json), processes.named():
        last = train(settings)
        if settings.look:
            print(f"Wrote {LOOK} into '{printable(settings.output)}'; nothing was trained")
        elif not is_first:
            return 0
        else:
            finishing.finish(settings, FILES, last)
    if as_json and settings.look:
        print(json.dumps({"look": str(settings.output / LOOK)}))
    elif as_json:
        print(json.dumps({"model": str(settings.output / MODEL), **last}))
    return 0


def train(settings: TrainSettings) -> dict[str, Any]:
    """Trains a network and writes it, its history, its curves, its test and the settings.

    Args:
        settings: What to do.

    Returns:
        The last row of the history, and `test_loss` and `test_accuracy`, or
        `test_mean_average_precision`, of the weights that were written; of several processes the
        first one writes, and the row alone is that of others.

    Raises:
        InputError: If the images cannot be used, if the output folder cannot be written to, or
            if the loss is no longer a number, and nothing is written then; or if an image cannot
            be decoded later, when what was trained until then is written.
    """
    with devices.data_parallel(settings.devices):  # what there is not is said first
        devices.check_recipe(settings.chosen, settings.compile)
    found = data.find(settings)
    errors.check_output(settings.output, settings.data, FILES)
    run = runs.record("train", settings, found.every)
    if not (settings.look or resuming.is_in_its_folder(settings)):
        runs.check_folder(settings.output, run, settings.overwrite)
    if not settings.look:
        resuming.check(settings)
    state = resuming.last_state(settings)
    with devices.data_parallel(settings.devices):
        known = start.known(settings, state)
    reader = None if known is None else start.reader(known, settings.image_size)
    print(
        f"Reading {len(found.every.labels)} images of {len(found.every.class_names)} classes: "
        f"{found.every.title}"
    )
    found = data.look(found, skip_damaged=settings.skip_damaged, check=settings.check)
    size = settings.image_size or (
        data.usual_size(found.headers) if reader is None else reader.image_size
    )
    forecast.check_size(settings, size)
    how = "bilinear" if reader is None else reader.layer.interpolation
    if found.every.kind == "digits":  # which are in memory anyway; files stay where they are
        found = found.in_memory(size, how)

    data_format = "channels_last" if known is None else known.stem.layout.data_format
    reader = reader or found.measured(size, how, data_format, settings.skip_damaged)
    metadata = {
        **classifier.metadata(found.every.class_names, reader, found.split),
        "run": run,
    }
    with devices.data_parallel(settings.devices):
        keras.utils.set_random_seed(settings.seed)
        if known is None:
            model = _network(settings, size, metadata)
        else:
            model = start.network(known, size, metadata, several=found.every.several)
        _check_growth(settings, model)
        fitting = _fitting(settings, model, found, reader, state)
    made = fitting.checkpoint
    try:
        if made is None:
            sheet.write(settings.output / LOOK, fitting.batches(size))
            return {}
        processes.meet("all have read what there is")
        is_first = processes.is_first()
        if is_first:
            resuming.begin(settings, made)
    except OSError as error:
        raise errors.not_writable(settings.output, error) from None
    for sentence in [] if known is None else start.said(settings, known):
        print(sentence)
    print(
        f"Training {model.name}, {model.count_params():,} parameters, on "
        f"{len(found.training.labels)} images of {size}×{size} pixels; "
        f"{len(found.validation.labels)} for validation, {len(found.test.labels)} for the test"
    )
    for sentence in resuming.said(made, settings.epochs):
        print(sentence)
    counts = (len(found.training.labels), len(found.validation.labels))
    for sentence in [
        *forecast.said(settings, model, size, *counts, fitting.takes_less()),
        *data.left_aside(settings, found),
        *data.odd_classes(found),
        *advice(settings, model.stem, size, fitting.total),
    ]:
        print(sentence)
    try:
        with devices.data_parallel(settings.devices):
            fitting.run()
        processes.leave()
        if not is_first:
            return {**fitting.table[-1]}
        network = _written(fitting)
    except DamagedError as error:
        if not is_first:  # which alone writes
            raise
        raise _kept(settings, _written(fitting), fitting, error) from error
    except KeyboardInterrupt:
        raise _interrupted(settings) from None
    except UnwrittenError as error:
        there = resuming.goes_on(settings.output)
        raise InputError(f"{errors.not_writable(settings.output, error)}{there}") from None
    data.tell_left_out(fitting.left_out)
    written = classifier.of(network, settings.output / MODEL)
    try:
        test = written.evaluate(found.test, settings.batch_size, skip_damaged=settings.skip_damaged)
    except KeyboardInterrupt:
        raise _interrupted(settings) from None
    except InputError as error:
        raise _kept(settings, network, fitting, error) from error
    result = test.result
    _write(settings, network, fitting.table, result, test)
    try:
        resuming.end(settings)
    except OSError as error:
        raise errors.not_writable(settings.output, error) from None
    name = score(result)
    return {**fitting.table[-1], "test_loss": test.loss, f"test_{name}": result[name]}


def _interrupted(settings: TrainSettings) -> KeyboardInterrupt:
    return KeyboardInterrupt(f"{signals.INTERRUPTED}{resuming.goes_on(settings.output)}")


def _fitting(
    settings: TrainSettings, model: ResNet, found: data.Data, reader: Reader, state: State | None
) -> Fitting:
    unfreezing = start.freeze(settings, model)
    if settings.chosen.precision != "float32":
        model = with_dtype(model, f"mixed_{settings.chosen.precision}")
    callbacks = [*unfreezing, *_callbacks(settings)]
    made = None if settings.look else resuming.checkpoint(settings, callbacks, state)
    return Fitting(
        FitSettings(
            model=model,
            images=found.training,
            validation=found.validation,
            prepare=reader.layer,
            recipe=settings.chosen,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            layer_decay=settings.layer_decay,
            multiple=settings.multiple,
            seed=settings.seed,
            class_weight=found.class_weight() if settings.balance else None,
            headers=found.headers,
            skip_damaged=settings.skip_damaged,
            compile=settings.compile,
            checkpoint=made,
            callbacks=callbacks,
            verbose=int(images.verbosity() == 1),
        )
    )


def _callbacks(settings: TrainSettings) -> list[keras.callbacks.Callback]:
    found: list[keras.callbacks.Callback] = []
    if settings.patience is not None:
        found.append(
            keras.callbacks.EarlyStopping(patience=settings.patience, restore_best_weights=True)
        )
    if settings.tensorboard and processes.is_first():
        found.append(keras.callbacks.TensorBoard(settings.output / "tensorboard"))
    if images.verbosity() == 2:
        found.append(progress.Lines(total=settings.epochs))
    return found


def _kept(
    settings: TrainSettings, network: ResNet, fitting: Fitting, damaged: InputError
) -> InputError:
    """What ends a run before its end, after what was trained is written."""
    if not fitting.table and not fitting.steps:
        return InputError(f"{damaged}; nothing was trained yet, so nothing is written")
    _write(settings, network, fitting.table, {"ended": str(damaged)})
    return InputError(
        f"{damaged}; the network as it was then, after {len(fitting.table)} of {settings.epochs} "
        f"epochs, is in '{printable(settings.output)}'"
    )


def _written(fitting: Fitting) -> ResNet:
    """The network as it is written: without an optimizer, in float32, with all parts to train."""
    network = fitting.network()
    if network.compute_dtype != "float32":
        network = with_dtype(network, "float32")
    set_trainable(network, True)  # whoever goes on from the file freezes what they want
    return network


def advice(settings: TrainSettings, stem: Any, size: int, steps: int) -> list[str]:
    """What may not be meant, before it takes long.

    Args:
        settings: What to do.
        stem: That of the network, wherever it is from.
        size: Height and width of the images in pixels.
        steps: How many steps there will be.
    """
    found = []
    keeps = getattr(stem, "strides", 2) in (1, (1, 1)) and getattr(stem, "pooling", None) is None
    if keeps and size > LARGE:
        known = settings.from_ is not None
        other = "" if known else "another network, such as `--variant resnet18`, or "
        found.append(
            "Note: the stem of the network does not halve images, so that it computes at each of "
            f"{size}×{size} pixels, in much time and memory. Less of both takes {other}a smaller "
            "`--image-size`"
        )
    smaller = settings.chosen.grow_from
    if smaller is not None and smaller >= size:
        found.append(
            f"Note: images are of {size}×{size} pixels from the first epoch on, since they would "
            f"grow from {smaller}"
        )
    if steps < FEW_STEPS:
        found.append(
            f"Note: the number of steps in all is {steps}; below {FEW_STEPS} or so the statistics "
            "of normalization lag behind, and the test looks worse than the network is. "
            f"`--epochs {math.ceil(FEW_STEPS * settings.epochs / steps)}` would be enough"
        )
    return found


def _check_growth(settings: TrainSettings, model: ResNet) -> None:
    pooling, smaller = getattr(model.head, "pooling", None), settings.chosen.grow_from
    if pooling in FLATTENING and smaller is not None:
        raise InputError(
            "`grow_from` must be None where the head counts pixels. Received: "
            f"grow_from={smaller}, a head with pooling={pooling!r}"
        )


def _network(settings: TrainSettings, size: int, metadata: dict[str, Any]) -> ResNet:
    variant = settings.variant or ""
    counts_pixels = variants.find(variant).head.get("pooling") in FLATTENING
    return ResNet.from_variant(
        variant,
        classes=len(metadata["class_names"]),
        input_shape=(size, size, 3) if counts_pixels else (None, None, 3),
        metadata=metadata,
        drop_path=settings.chosen.drop_path,
    )


def _write(
    settings: TrainSettings,
    network: ResNet,
    table: list[history.Row],
    result: dict[str, Any],
    test: Evaluation | None = None,
) -> None:
    """All files of a run; `result` is that of the test, or why there was none."""
    output = settings.output
    try:
        with replacing(*(output / name for name in FILES)) as paths:
            save_model(network.replace(), paths[0])  # which is not compiled
            history.write(paths[1], table)
            history.write_curves(paths[2], table)
            history.write_test(paths[3], result)
            if test is None:
                paths[4].write_text(f"{html.escape(result['ended'])}\n", encoding="utf-8")
            else:
                test.write_page(paths[4], f"{network.name}, the images for the test")
            runs.write_settings(paths[5], "train", settings)
    except OSError as error:
        raise errors.not_writable(output, error) from None
