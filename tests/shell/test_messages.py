"""Every error of the commands: its type and its whole text."""

import dataclasses
import functools
import io
import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from cyclopts import CoercionError, Token
from cyclopts.completion.detect import ShellDetectionError
from PIL import Image

import resnet_layers as rl
from resnet_layers._support import environment
from resnet_layers.layers.preprocessing import for_squares
from resnet_layers.shell import (
    classifier,
    commands,
    config,
    convert,
    data,
    errors,
    evaluate,
    explain,
    features,
    finishing,
    forecast,
    images,
    latency,
    listing,
    machines,
    options,
    predict,
    predictor,
    profile,
    progress,
    resuming,
    runs,
    searched,
    start,
    study,
    train,
    trials,
    tune,
)
from resnet_layers.shell import export as export_command
from resnet_layers.shell.described import fitting
from resnet_layers.shell.errors import InputError
from resnet_layers.shell.settings import TuneSettings
from resnet_layers.shell.train_settings import TrainSettings
from resnet_layers.training import checkpoint_files, checkpoints, labelled, tables
from resnet_layers.training.batches import Batches
from resnet_layers.training.labelled import Labelled
from resnet_layers.training.states import CheckpointError
from resnet_layers.training.waiting import Interruptible
from resnet_layers.tuning.parts import PRESETS
from tests.shell.test_images import picture
from tests.support.messages import ANY, Row, check, ids, missing
from tests.support.uncompiled import uncompiled
from tests.training.resuming import Ends
from tests.training.test_labelled import counted
from tests.tuning.test_space import ONE

WING = "shell"
PREPROCESSING: dict[str, Any] = {"image_size": 8, "mean": (127.0,) * 3, "std": (64.0,) * 3}
TAG = "resnet18.a1_in1k"


def network(**metadata: Any) -> rl.ResNet:
    return rl.ResNet(rl.Stem(4), [rl.ResNetStage(4, 1)], rl.ClassifierHead(3), metadata=metadata)


@functools.cache
def saved() -> bytes:
    """The file of a network."""
    network().save("saved.keras")
    return Path("saved.keras").read_bytes()


def write_saved() -> Path:
    Path("model.keras").write_bytes(saved())
    return Path("model.keras")


def write_photos(*counts: int) -> Path:
    """A folder with so many images of each class."""
    for name, count in zip("abc", counts, strict=False):
        Path("photos", name).mkdir(parents=True)
        for i in range(count):
            pixels = np.full((9, 9, 3), 20 * i, np.uint8)
            Image.fromarray(pixels).save(Path("photos", name, f"{i}.png"))
    return Path("photos")


# --- the network ---------------------------------------------------------------------------------


def known(split: Any) -> classifier.Classifier:
    """What `load` finds in a file with such a split, without the network."""
    nothing: Any = None
    return classifier.Classifier(
        path=Path("model.keras"),
        model=nothing,
        outputs=nothing,
        activation="linear",
        class_names=["a", "b"],
        reader=images.Reader(for_squares(**PREPROCESSING)),
        split=split,
    )


def split(data: str, **changes: Any) -> dict[str, Any]:
    return {"data": data, "seed": 0, "test_digest": "", **changes}


def open_bytes(content: bytes) -> None:
    Path("model.keras").write_bytes(content)
    classifier.open_model(Path("model.keras"))


def open_archive(name: str, config: Any) -> None:
    with zipfile.ZipFile("model.keras", "w") as archive:
        archive.writestr(name, json.dumps(config))
    classifier.open_model(Path("model.keras"))


def open_changed(compress: int = 0, /, **changes: Any) -> None:
    """A file of a network with other numbers in its first stage's config, or other parts."""
    with zipfile.ZipFile(io.BytesIO(saved())) as archive:
        parts: dict[str, Any] = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    config["config"]["stages"][0]["config"].update(changes.pop("stage", {}))
    parts = {**parts, "config.json": json.dumps(config), **changes}
    with zipfile.ZipFile("model.keras", "w", compress) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    classifier.open_model(Path("model.keras"))


def open_a_pipe() -> None:
    os.mkfifo("model.keras")
    classifier.open_model(Path("model.keras"))


def open_with_names_twice() -> None:
    with zipfile.ZipFile("model.keras", "w") as archive:
        archive.writestr("config.json", "{}")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("config.json", "{}")
    classifier.open_model(Path("model.keras"))


def load_one_that_takes_pixels() -> None:
    with pytest.MonkeyPatch.context() as patch:
        found = SimpleNamespace(pixels=True)
        patch.setattr("resnet_layers.serving.load_exported", lambda path: found)
        predictor.load_exported(Path("model.onnx"))


class Broken:
    """An artifact that opens."""

    pixels, metadata, activation = False, None, None
    input_shape, output_shape = (8, 8, 3), (None, 3)

    def __call__(self, images: Any) -> Any:
        raise RuntimeError(
            "Exception from core.cpp:84:\nException from op.cpp:1:\nno such kernel\n"
        )


def compute_with_a_broken_graph() -> None:
    found: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("resnet_layers.serving.load_exported", lambda path: Broken())
        patch.setattr(predictor, "fitting", lambda *_: {})
        patch.setattr(predictor, "Predictor", lambda **said: found.update(said))
        predictor.load_exported(Path("model.xml"))
    found["outputs"](np.zeros((1, 8, 8, 3), "float32"))


def several_in_a_table() -> Path:
    lines = [f"{i}.png,{'a' * (i % 2)}{';' * (i % 2)}{'b' * (i % 3 > 0) or 'c'}" for i in range(20)]
    Path("a.csv").write_text("\n".join(["path,label", *lines]) + "\n")
    return Path("a.csv")


def several() -> Labelled:
    found = tables.whole(several_in_a_table())
    keep = found.class_names.index("c")
    rows = np.delete(found.labels, keep, 1)
    return dataclasses.replace(found, labels=rows, class_names=["a", "b"])


def predicted(outputs: Any, activation: str = "linear") -> Any:
    """The probabilities of a network that computes these."""
    said: Any = {"path": Path("model.keras"), "class_names": ["a", "b", "c"], "split": {}}
    reader: Any = lambda sources: np.zeros((1, 8, 8, 3), "float32")  # noqa: E731
    outputs = np.array([outputs], "float32")
    found = predictor.Predictor(
        outputs=lambda images: outputs, activation=activation, reader=reader, **said
    )
    return found.probabilities([Path("image.png")])


def fit_to(
    metadata: Any, input_shape: Any = (None, None, 3), classes: int = 3, activation: Any = "linear"
) -> None:
    """A network with such metadata."""
    fitting(Path("model.keras"), metadata, input_shape, (None, classes), activation)


SPLIT = (
    "The metadata of 'model.keras' must say in `split` which images training left out, unless "
    "`--data` and `--all` choose others"
)
DAMAGED = "'model.keras' is not a .keras file, or it is damaged"
METADATA = (
    "The metadata of 'model.keras' must have `class_names` and `preprocessing`, as `train` writes "
    "them"
)
NAMED = {"class_names": list("abc"), "preprocessing": PREPROCESSING}

MODELS: list[Row] = [
    *[
        (functools.partial(known(wrong).test_images, Path("photos")), InputError, SPLIT)
        for wrong in (
            *({}, 3, None),
            *(split("folder", seed="x"), split("folder", seed=-1), split("zzz")),
        )
    ],
    (
        lambda: known(split("folder")).test_images(),
        InputError,
        "'model.keras' was trained on a folder of images: name it with `--data`",
    ),
    (
        lambda: known(split("digits")).test_images(Path("photos")),
        InputError,
        "'model.keras' was trained on scikit-learn's digits, which leave out no image of "
        "'photos': take every image with `--all`",
    ),
    (
        lambda: known(split("folder")).test_images(write_photos(2, 2)),
        InputError,
        "The images of the folder 'photos' must be those that 'model.keras' was trained on, by "
        "name, so that the same ones are left for the test; `--all` takes every image",
    ),
    *[
        (
            call,
            InputError,
            "The classes of the folder 'photos' must be among those of 'model.keras'. "
            "Received: 'c'",
        )
        for call in (
            lambda: known(split("folder")).test_images(write_photos(2, 2, 2)),
            lambda: known({}).all_images(write_photos(2, 2, 2)),
        )
    ],
    (
        lambda: classifier.open_model(Path("model.bin")),
        InputError,
        "The name of a model file must end in '.keras'. Received: 'model.bin'",
    ),
    (
        lambda: classifier.open_model(Path("model.keras")),
        InputError,
        "The model file 'model.keras' cannot be read: No such file or directory",
    ),
    (lambda: open_bytes(b""), InputError, DAMAGED),
    (lambda: open_bytes(b"text"), InputError, DAMAGED),
    (lambda: open_bytes(saved()[:-1000]), InputError, DAMAGED),
    (lambda: open_archive("readme.txt", "no model"), InputError, DAMAGED),
    (
        lambda: open_archive("config.json", {"registered_name": None, "class_name": "Sequential"}),
        InputError,
        "'model.keras' must hold a `resnet_layers.ResNet`. Received: Sequential",
    ),
    (
        lambda: open_archive("config.json", {"registered_name": "resnet_layers>ResNet"}),
        InputError,
        f"The model file 'model.keras' cannot be opened: {ANY}",
    ),
    (open_a_pipe, InputError, "The model file 'model.keras' cannot be read: Not a file"),
    (open_with_names_twice, InputError, DAMAGED),
    (lambda: open_bytes(saved().replace(b'"keras_v', b'"Keras_v')), InputError, DAMAGED),
    *[
        (
            functools.partial(open_changed, 8, **{name: bytes(size)}),
            InputError,
            f"The model file 'model.keras' of {ANY} bytes must not hold so much more. "
            f"Received: {ANY} bytes, {ANY} of them as config.json",
        )
        for name, size in (("config.json", 2**20 + 1), ("assets/a", 2**26))
    ],
    (
        lambda: open_changed(**{"model.weights.h5": b"none"}),
        InputError,
        f"The model file 'model.keras' cannot be opened: {ANY}",
    ),
    (
        lambda: open_changed(stage={"blocks": 10**9}),
        InputError,
        "The config of 'model.keras' must fit its weights. Received: "
        f"100000000{ANY} blocks for {ANY} variables",
    ),
    *[
        (
            functools.partial(open_changed, stage=stage),
            InputError,
            "The model file 'model.keras' cannot be opened: its config describes a larger network "
            "than it has weights for",
        )
        for stage in ({"filters": 10**6}, {"blocks": 20})
    ],
    # What predicts
    (
        compute_with_a_broken_graph,
        InputError,
        "'model.xml' opens and cannot compute: no such kernel",
    ),
    (
        lambda: predicted([1, np.nan, 0]),
        InputError,
        "The outputs of 'model.keras' must be finite. Received: nan",
    ),
    (
        lambda: predicted([1, -np.inf, 0]),
        InputError,
        "The outputs of 'model.keras' must be finite. Received: -inf",
    ),
    (
        lambda: predicted([16, 1, -1], "softmax"),
        InputError,
        "The outputs of 'model.keras' must be probabilities that sum to 1, as it says. Received: a "
        "sum of 16, the least -1",
    ),
    (
        lambda: predicted([0.5, 1.5, 0], "sigmoid"),
        InputError,
        "The outputs of 'model.keras' must be probabilities, as it says. Received: 0 to 1.5",
    ),
    (
        lambda: known({}).labels(several()),
        InputError,
        "The images of the table 'a.csv' must have one label each, since 'model.keras' makes one "
        "choice. Received: several",
    ),
    *[
        (
            lambda name=name, value=value: TrainSettings(**{name: value}),
            ValueError,
            f"`{name}` must be two numbers with a comma between them, such as '{like}'. "
            f"Received: {name}={value!r}",
        )
        for name, like in (("scale", "0.35,1"), ("grow", "0.6,0.8"))
        for value in ("0.5", "a,b", "0.1,0.2,0.3", 0.5)
    ],
    (
        lambda: TrainSettings(global_clipnorm="much"),
        ValueError,
        "`global_clipnorm` must be a positive number or 'none'. Received: global_clipnorm='much'",
    ),
    (
        lambda: TrainSettings(compile="jit"),
        ValueError,
        "`compile` must be one of 'auto', 'xla', 'graph'. Received: compile='jit'",
    ),
    (
        lambda: TrainSettings(grow_from=64, image_size=64),
        ValueError,
        "`grow_from` must be less than `image_size`. Received: grow_from=64, image_size=64",
    ),
    (
        lambda: TrainSettings(grow="0.5,0.6"),
        ValueError,
        "`grow` must come with `grow_from`, from which images grow. Received: grow='0.5,0.6'",
    ),
    (
        lambda: TrainSettings(optimizer="adam", nesterov=True),
        ValueError,
        "`nesterov` must be left out with other optimizers than SGD. Received: nesterov=True, "
        "optimizer='adam'",
    ),
    (
        lambda: data.find(TrainSettings(data=several_in_a_table(), loss="softmax")),
        InputError,
        "`--loss` must be sigmoid where images have several labels, as those of the table "
        "'a.csv'. Received: loss='softmax'",
    ),
    (
        lambda: data.find(TrainSettings(data=several_in_a_table(), balance=True)),
        InputError,
        "`--balance` must be left out where images have several labels, as those of the table "
        "'a.csv'",
    ),
    (
        lambda: tune.tune(TuneSettings(data=several_in_a_table())),
        InputError,
        "The images of a search must have one label each. Received: several in the table 'a.csv'",
    ),
    (
        lambda: predictor.load_exported(Path("model.onnx")),
        InputError,
        "There is no file 'model.onnx'",
    ),
    (
        load_one_that_takes_pixels,
        InputError,
        "The network of 'model.onnx' must take prepared images. Received: one with its "
        "preprocessing inside, which `resnet_layers.load_exported` opens",
    ),
    (lambda: fit_to({}), InputError, f"{METADATA}. Received: none"),
    (
        lambda: fit_to({"class_names": list("abc")}),
        InputError,
        f"{METADATA}. Received: 'class_names'",
    ),
    (
        lambda: fit_to({"preprocessing": PREPROCESSING}),
        InputError,
        f"{METADATA}. Received: 'preprocessing'",
    ),
    (
        lambda: fit_to({**NAMED, "preprocessing": {**PREPROCESSING, "image_size": 0}}),
        InputError,
        f"{METADATA}: `image_size` must be a positive integer. Received: image_size=0",
    ),
    (
        lambda: fit_to({**NAMED, "class_names": 3}),
        InputError,
        f"{METADATA}: `class_names` must be distinct. Received: 3",
    ),
    (
        lambda: fit_to(NAMED, activation=None),
        InputError,
        "The model of 'model.keras' must say whether it returns logits or probabilities: let it "
        "end with a `Dense` or a `ClassifierHead`, or with `Activation('softmax')`. Received: "
        "activation=None",
    ),
    (
        lambda: fit_to(NAMED, activation="tanh"),
        InputError,
        "The model of 'model.keras' must return logits or the probabilities of a softmax or a "
        "sigmoid. Received: activation='tanh'",
    ),
    *[
        (
            functools.partial(fit_to, NAMED, shape),
            InputError,
            "The model of 'model.keras' must take the images that its preprocessing makes, "
            f"8×8 pixels in 3 channels. Received: input_shape={shape}",
        )
        for shape in ((None, None, 1), (16, None, 3))
    ],
    (
        lambda: fit_to(NAMED, classes=2),
        InputError,
        "The model of 'model.keras' must have one output for each of its 3 class names. "
        "Received: output_shape=(None, 2)",
    ),
]

# --- images --------------------------------------------------------------------------------------

MEMORY = "There is not enough memory for 2 images of"

IMAGES: list[Row] = [
    (
        lambda: images.read(["a.png", "b.png"], 4),
        InputError,
        "The image 'a.png' cannot be read: No such file or directory\n"
        "The image 'b.png' cannot be read: No such file or directory",
    ),
    (
        lambda: images.read([picture(1, 1)] * 2, 10**8),
        InputError,
        f"{MEMORY} {10**8}×{10**8} pixels, 55879354.5 GiB",
    ),
    (
        lambda: images.read([picture(1, 1)] * 2, 10**10),
        InputError,
        f"{MEMORY} {10**10}×{10**10} pixels, 558793544769.3 GiB",
    ),
]

# --- outputs -------------------------------------------------------------------------------------


def check_loop() -> None:
    """As Python up to 3.12 finds a link that leads to itself."""

    def fail(path: Path) -> None:
        raise RuntimeError(f"Symlink loop from '{path}'")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "resolve", fail)
        errors.check_output(Path("loop"), Path("photos"), ())


def check_file() -> None:
    Path("run").touch()
    errors.check_output(Path("run"), None, ())


def check_folder_in_place_of_a_file() -> None:
    Path("run/curves.png").mkdir(parents=True)
    errors.check_output(Path("run"), None, ("model.keras", "curves.png"))


def run_into(**theirs: Any) -> None:
    """A folder with the network of such a run."""
    network(run=theirs).save("model.keras")
    mine = {"command": "train", "settings": {"variant": "resnet18"}, "images": "0"}
    runs.check_folder(Path(), mine, overwrite=False)


def run_into_nothing_known() -> None:
    Path("model.keras").write_bytes(b"old")
    runs.check_folder(Path(), {"command": "train"}, overwrite=False)


ANOTHER = "The folder '.' holds the network of another run,"
CHOOSE = "choose another folder with `--output`, or replace it with `--overwrite`"
NOWHERE = "The output folder 'nowhere' cannot be written to: No such file or directory"

OUTPUTS: list[Row] = [
    (
        check_loop,
        InputError,
        "The output folder 'loop' cannot be found: Symlink loop from 'loop'",
    ),
    (
        lambda: errors.check_output(Path("photos/run"), Path("photos"), ()),
        InputError,
        "The output folder must not lie in the folder of images, where it would be a class. "
        "Received: 'photos/run' in 'photos'",
    ),
    (check_file, InputError, "The output folder 'run' cannot be written to: File exists"),
    (
        check_folder_in_place_of_a_file,
        InputError,
        "'run/curves.png' must not be a folder, since a file is written there",
    ),
    (run_into_nothing_known, InputError, f"{ANOTHER} which does not say what it was: {CHOOSE}"),
    (lambda: run_into(command="tune"), InputError, f"{ANOTHER} of `tune`: {CHOOSE}"),
    (
        lambda: run_into(command="train", settings={"variant": "resnet34"}),
        InputError,
        f"{ANOTHER} of the variant 'resnet34': {CHOOSE}",
    ),
    (
        lambda: run_into(command="train", settings={"variant": "resnet18"}, images="1"),
        InputError,
        f"{ANOTHER} on other images: {CHOOSE}",
    ),
]

# --- train ---------------------------------------------------------------------------------------


def train_to_infinity() -> None:
    """With a loss that is no number after the only epoch."""

    def fit(self: Any, *_: Any, callbacks: Any, **__: Any) -> None:
        given = keras.callbacks.CallbackList(callbacks, model=self, epochs=1, steps=1)
        given.on_train_begin()
        given.on_epoch_begin(0)
        given.on_train_batch_end(0, {"loss": np.nan})
        given.on_epoch_end(0, {"loss": np.nan, "accuracy": 0.5})
        given.on_train_end()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.Model, "fit", fit)
        patch.setattr(progress.Lines, "on_epoch_end", lambda *_: None)
        patch.setattr(train, "_network", two_classes)
        photos, output = write_photos(4, 4), Path("run")
        train.train(TrainSettings(data=photos, output=output, image_size=8))


def write_noise(count: int = 4) -> Path:
    """Photographs whose headers and ends stay sound when `damage` was at them."""
    rng = np.random.default_rng(0)
    for i in range(count * 2):
        path = Path("photos", "ab"[i % 2], f"{i}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    return Path("photos")


def damage(paths: Iterable[Path]) -> None:
    for path in paths:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] = 255 - content[len(content) // 3]
        path.write_bytes(content)


def two_classes(_: Any, size: int, metadata: Any) -> rl.ResNet:
    return rl.ResNet(rl.Stem(4), [rl.ResNetStage(4, 1)], rl.ClassifierHead(2), metadata=metadata)


def train_on_damaged(after: str | None, *, which: str = "*/*", **options: Any) -> None:
    """Images are damaged before training, or when a method of a callback is called."""
    photos = write_noise()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "_network", two_classes)
        if which == "test":
            held: Any = labelled.folder(photos).split(0, 0.1, together=True)[1].sources
        else:
            held = sorted(photos.glob(which))
        if after is None:
            damage(held)
        else:
            patch.setattr(Interruptible, after, lambda *_: damage(held))
        train.train(TrainSettings(data=photos, output=Path("run"), image_size=8, **options))


def look_into_a_folder() -> None:
    Path("run/look.png").mkdir(parents=True)
    photos = write_photos(4, 4)
    train.train(TrainSettings(output=Path("run"), data=photos, image_size=8, look=True))


def read_nothing(command: str, *arguments: str, **options: Any) -> None:
    """A command with a network of three classes, its output in a folder that is not there."""
    layer = keras.saving.serialize_keras_object(for_squares(8, (0,) * 3, (1,) * 3))
    network(class_names=list("abc"), preprocessing=layer).save("model.keras")
    Path("a.csv").mkdir()
    if command == "features":
        features.run(Path("model.keras"), [Path(one) for one in arguments], Path("a.csv"))
    else:
        evaluate.run(Path("model.keras"), write_photos(2), 8, True, **options)


def explained(
    count: int, output: str = "a.png", photo: str = "a/0.png", name: str | None = None
) -> None:
    """`explain` with a network of three classes."""
    layer = keras.saving.serialize_keras_object(for_squares(32, (0,) * 3, (1,) * 3))
    network(class_names=list("abc"), preprocessing=layer).save("model.keras")
    Path("a.png").mkdir()
    found = [str(write_photos(1) / photo)] * count
    explain.run(Path("model.keras"), found, Path(output), name, "stem", "grad_cam", False)


def studied(error: BaseException) -> None:
    """`study` that ends with an error."""

    def fail(*_: Any) -> None:
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "degradation", fail)
        study.run(None, None, [8], [], 2, 1, 64, None, 1, Path("studied"))


def train_on_a_split_folder() -> None:
    for name in ("train/a", "train/b", "val/a"):
        path = Path("photos", name)
        path.mkdir(parents=True)
        for i in range(2):
            Image.fromarray(np.full((9, 9, 3), 20 * i, np.uint8)).save(path / f"{i}.png")
    known({"data": "folder", "folders": True, "seed": 0, "test_digest": ""}).test_images(
        Path("photos/train")
    )


def check_process(code: int = 0, out: str = "", err: str = "") -> None:
    """With such an answer of the other process."""
    with pytest.MonkeyPatch.context() as patch:
        answer = subprocess.CompletedProcess([], code, out, err)
        patch.setattr(subprocess, "run", lambda *_, **__: answer)
        row = {"test_loss": 0.25, "test_accuracy": 0.5}
        finishing.check_in_new_process(TrainSettings(output=Path("run")), row)


FAILED = f"A new process could not evaluate '{ANY}/run/model.keras' and"
DISAGREES = f"A new process does not agree about '{ANY}/run/model.keras':"


CHECKPOINT = "epoch-00001-step-0000000.safetensors"


def start_without_a_network() -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no route")

    with pytest.MonkeyPatch.context() as patch:
        hub = SimpleNamespace(hf_hub_download=fail, try_to_load_from_cache=lambda *_: None)
        patch.setitem(sys.modules, "huggingface_hub", hub)
        start.known(TrainSettings(from_=TAG))


def start_from_two_channels() -> None:
    network().replace(stem=rl.Stem(4), input_shape=(None, None, 2)).save("two.keras")
    start.known(TrainSettings(from_="two.keras"))


def start_with_a_stem_of_keras() -> None:
    stem = keras.layers.Conv2D(4, 3, name="stem")
    rl.ResNet(stem, [rl.ResNetStage(4, 1)], rl.ClassifierHead(3)).save("keras.keras")
    start.known(TrainSettings(from_="keras.keras"))


class Other(rl.ResNet):
    """It computes something else than its parts."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return -super().call(inputs, training=training)


def start_with_another_class() -> None:
    parts = (rl.Stem(4), [rl.ResNetStage(4, 1)], rl.ClassifierHead(3))
    start.network(Other(*parts), 8, {"class_names": ["a", "b"]})


def freeze(**chosen: Any) -> None:
    start._check_parts(TrainSettings(from_="a.keras", **chosen), network())


TRAIN: list[Row] = [
    (
        lambda: TrainSettings(variant="r3d_18"),
        ValueError,
        "`variant` must be a network for images. Received: variant='r3d_18', with 3 axes of pixels",
    ),
    (
        lambda: TrainSettings(epochs=10**7),
        ValueError,
        "`epochs` must be at most 1000000. Received: epochs=10000000",
    ),
    (
        lambda: TrainSettings(seed=2**32),
        ValueError,
        "`seed` must be below 2**32. Received: seed=4294967296",
    ),
    (
        lambda: TrainSettings(from_=CHECKPOINT, variant="resnet18"),
        ValueError,
        "`variant` must be left out where `from` is a .keras file or a checkpoint, which has its "
        "network. Received: variant='resnet18'",
    ),
    (
        lambda: TrainSettings(from_="a.keras", variant="resnet18"),
        ValueError,
        "`variant` must be left out where `from` is a .keras file or a checkpoint, which has its "
        "network. Received: variant='resnet18'",
    ),
    (
        lambda: TrainSettings(from_="a.pth"),
        ValueError,
        "`variant` must name the network of the weights in `from`, whose name is no tag. "
        "Received: from='a.pth'",
    ),
    (
        lambda: TrainSettings(from_=TAG, variant="resnet50"),
        ValueError,
        "`variant` must be 'resnet18', the network of the weights in `from`, or be left out. "
        f"Received: variant='resnet50', from='{TAG}'",
    ),
    (
        lambda: TrainSettings(from_="folder"),
        ValueError,
        "`from` must be a tag of published weights, a .keras file, or a file of weights "
        "(.safetensors, .pth, .pt, .bin, .tar, .ckpt, .npz, .h5). There is no tag of that name; "
        "no name of all 205 is close, which `resnet-layers list` prints. Received: tag='folder'",
    ),
    (
        lambda: TrainSettings(freeze_until="head"),
        ValueError,
        "`freeze_until` must come with `from`, the weights that are known. Received: "
        "freeze_until='head'",
    ),
    (
        lambda: TrainSettings(from_="a.keras", unfreeze="stem@2"),
        ValueError,
        "`unfreeze` must come with `freeze_until`, which freezes what it unfreezes. "
        "Received: unfreeze='stem@2'",
    ),
    *[
        (
            functools.partial(
                TrainSettings, from_="a.keras", freeze_until="head", unfreeze=unfreeze, epochs=9
            ),
            ValueError,
            "`unfreeze` must be parts, each once, with epochs from 1 to `epochs`, such as "
            f"'stage4@5,stage3@10'. Received: unfreeze={unfreeze!r}, epochs=9",
        )
        for unfreeze in ("stem", "stem@0", "stem@10", "stem@2,stem@3", "")
    ],
    (
        start_without_a_network,
        InputError,
        f"The weights '{TAG}' could not be downloaded from timm/{TAG}: no route",
    ),
    (
        start_from_two_channels,
        InputError,
        "The network of 'two.keras' must take images in 3 channels. Received: "
        "input_shape=(None, None, 2)",
    ),
    (
        lambda: start.reader(network(preprocessing={"image_size": 8}), None),
        InputError,
        "`preprocessing` in the metadata of the weights must be the config of a Preprocessing. "
        "Received: {'image_size': 8}",
    ),
    (
        start_with_a_stem_of_keras,
        InputError,
        "The network of 'keras.keras' must begin with a stem of this package. Received: a Conv2D",
    ),
    (
        start_with_another_class,
        InputError,
        "The network of `--from` cannot be trained: `replace` needs a class that computes as "
        "ResNet does, since it makes a ResNet. Received: a Other, which has a `call` of its own",
    ),
    *[
        (
            functools.partial(freeze, freeze_until=until, unfreeze=unfreeze),
            InputError,
            text,
        )
        for until, unfreeze, text in (
            (
                "stage9",
                None,
                "`freeze_until` must name one of 'stem', 'stage1', 'head'. Received: "
                "freeze_until='stage9'",
            ),
            (
                "head",
                "norm@1",
                "`unfreeze` must name one of 'stem', 'stage1', 'head'. Received: unfreeze='norm'",
            ),
            (
                "stage1",
                "head@2",
                "`unfreeze` must name parts before that of `freeze_until`, which train anyway. "
                "Received: unfreeze='head@2', freeze_until='stage1'",
            ),
        )
    ],
    (
        train_to_infinity,
        InputError,
        "The loss is no longer a number in epoch 1, step 1: `learning_rate` must be smaller. "
        "Received: learning_rate=0.001; the last good checkpoint is "
        "'run/checkpoints/epoch-00000-step-0000000.safetensors', with which `--from` begins",
    ),
    (
        lambda: train_on_damaged(None, skip_damaged=True, check=True),
        InputError,
        "Too many images are damaged: none is left of 'a'",
    ),
    (
        lambda: train_on_damaged(None, which="a/2.png"),
        InputError,
        "The image 'photos/a/2.png' cannot be read: it is damaged",
    ),
    (
        lambda: train_on_damaged("on_test_begin"),
        InputError,
        f"The image '{ANY}.png' cannot be read: it is damaged; the network as it was then, after 0 "
        "of 15 epochs, is in 'run'",
    ),
    (
        lambda: train_on_damaged("on_train_begin", epochs=1),
        InputError,
        f"The image '{ANY}.png' cannot be read: it is damaged; nothing was trained yet, so nothing "
        "is written",
    ),
    (
        lambda: train_on_damaged("on_test_begin", which="test", epochs=1),
        InputError,
        f"The image '{ANY}.png' cannot be read: it is damaged\nThe image '{ANY}.png' cannot be "
        "read: it is damaged; the network as it was then, after 1 of 1 epochs, is in 'run'",
    ),
    (
        look_into_a_folder,
        InputError,
        "The output folder 'run' cannot be written to: Is a directory",
    ),
    (
        train_on_a_split_folder,
        InputError,
        "The folder 'photos/train' must have folders of their own to train and to test on, as that "
        "had which 'model.keras' was trained on",
    ),
    (
        lambda: read_nothing("features", "none.png"),
        InputError,
        "An image must be readable, to have features. Received: none",
    ),
    (
        lambda: read_nothing("features", str(write_photos(1) / "a" / "0.png")),
        InputError,
        "'a.csv' cannot be written: Is a directory",
    ),
    (
        lambda: read_nothing("evaluate", every=True, skip_damaged=False, report=Path("a.csv")),
        InputError,
        "'a.csv' cannot be written: Is a directory",
    ),
    (
        lambda: commands.predict(Path("a"), "b", features=Path("a.csv"), as_csv=True),
        InputError,
        "`--features` must not come with `--json`, `--csv` or `--top`",
    ),
    (
        lambda: commands.predict(write_photos(1), "b", features=Path("a.csv")),
        InputError,
        "`--features` must come with the network itself, a .keras file, since what `export` wrote "
        "has no features to ask for. Received: 'photos'",
    ),
    (
        lambda: errors.check_new((".npz", ".csv"), Path("a.txt")),
        InputError,
        "The name of the output must end in one of '.npz', '.csv'. Received: 'a.txt'",
    ),
    (
        lambda: TrainSettings(recipe="resnet"),
        ValueError,
        "`recipe` must be one of 'digits', 'photos', 'finetune', 'probe', 'cifar', 'a1', 'a2', "
        "'a3', 'ffcv16'. Received: recipe='resnet'",
    ),
    (
        lambda: TrainSettings(recipe="a1", from_="resnet18.a1_in1k"),
        ValueError,
        "`drop_path` must be 0 with `from`, whose network has its own. Received: drop_path=0.05, "
        "recipe='a1'",
    ),
    (
        lambda: TrainSettings(validation=0.5, test=0.5),
        ValueError,
        "`validation` and `test` must leave images to train on. Received: validation=0.5, test=0.5",
    ),
    (
        lambda: data.find(TrainSettings(data=write_photos(4, 4), validation=0.0, patience=3)),
        InputError,
        "`--patience` must come with images for validation. Received: none, of 8 images",
    ),
    (
        lambda: TrainSettings(recipe="probe"),
        ValueError,
        "`recipe` must come with `from`, the weights that are known, if it freezes some. "
        "Received: recipe='probe'",
    ),
    (
        lambda: train.train(TrainSettings(accumulate=30, epochs=1, output=Path("run"))),
        InputError,
        "`accumulate` must be at most the number of steps, 23. Received: accumulate=30",
    ),
    (
        lambda: train._check_growth(
            TrainSettings(recipe="ffcv16"),
            network().replace(head=rl.ClassifierHead(3, pooling="max2x2"), input_shape=(8, 8, 3)),
        ),
        InputError,
        "`grow_from` must be None where the head counts pixels. Received: grow_from=160, a head "
        "with pooling='max2x2'",
    ),
    (
        lambda: train_on_damaged(None, skip_damaged=True),
        InputError,
        "Too many images are damaged: none is left to train on",
    ),
    (
        lambda: train_on_damaged("on_test_end", skip_damaged=True, epochs=6),
        InputError,
        f"Too many images are damaged: none is left of '{ANY}'; the network as it was then, after "
        f"{ANY} of 6 epochs, is in 'run'",
    ),
    (
        lambda: TrainSettings(devices=2, multiple=3),
        ValueError,
        "`multiple` must be a multiple of `devices`. Received: multiple=3, devices=2",
    ),
    (
        lambda: TrainSettings(batch_size=4, multiple=5),
        ValueError,
        "`multiple` must be at most `batch_size`. Received: multiple=5, batch_size=4",
    ),
    (
        lambda: TrainSettings(ema=0.99, patience=3),
        ValueError,
        "`patience` must not come with `ema`. Received: patience=3, ema=0.99",
    ),
    (
        lambda: TrainSettings(from_="a.keras", layer_decay=0.5, accumulate=2),
        ValueError,
        "`layer_decay` must not come with `accumulate`. Received: layer_decay=0.5, accumulate=2",
    ),
    (
        lambda: train._write(TrainSettings(output=Path("nowhere")), network(), [], {}),
        InputError,
        NOWHERE,
    ),
    (
        lambda: check_process(-9, err="first line\nlast line\n"),
        rl.DisagreementError,
        f"{FAILED} ended with exit code -9: last line",
    ),
    (
        lambda: check_process(out="hello\n"),
        rl.DisagreementError,
        f"{FAILED} printed: hello",
    ),
    (
        lambda: check_process(out='{"images": 3, "loss": 0.2501, "accuracy": 0.5}'),
        rl.DisagreementError,
        f"{DISAGREES} loss 0.250100, accuracy 50.00% there, loss 0.250000, accuracy 50.00% here",
    ),
    (
        lambda: check_process(out='{"images": 3, "loss": 0.25, "accuracy": 0.75}'),
        rl.DisagreementError,
        f"{DISAGREES} loss 0.250000, accuracy 75.00% there, loss 0.250000, accuracy 50.00% here",
    ),
]

# --- tune ----------------------------------------------------------------------------------------


def tune_small() -> None:
    """With a budget that no network keeps to."""
    settings = TuneSettings(
        data=write_photos(3, 3), output=Path("run"), image_size=8, max_parameters=10
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "small-images", ONE)
        tune.tune(settings)


def interrupted_search() -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    tuner = SimpleNamespace(oracle=SimpleNamespace(trials={}), search=interrupt)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "small-images", ONE)
        patch.setattr(tune, "make_tuner", lambda *_: tuner)
        tune.tune(TuneSettings(output=Path("run"), image_size=8))


def search_that_loses_an_image() -> None:
    """One that is damaged after all were read."""
    photos = write_photos(3, 3)

    def lose(*_: Any, **__: Any) -> None:
        for path in photos.rglob("*.png"):
            path.write_bytes(path.read_bytes()[:-20])
        raise RuntimeError("what TensorFlow says of it")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(searched, "MEMORY", 0)
        patch.setitem(PRESETS, "small-images", ONE)
        patch.setattr("resnet_layers.tuning.HyperResNet.fit", lose)
        tune.tune(TuneSettings(data=photos, output=Path("run"), image_size=8))


def trained_before(ended: bool = False, **changes: Any) -> TrainSettings:
    """Settings like those of a run that has left a checkpoint, but for some."""
    settings = TrainSettings(output=Path("run"), variant="resnet18")
    folder = Path("run", resuming.FOLDER)
    folder.mkdir(parents=True)
    for path in (folder, *([Path("run")] if ended else [])):
        runs.write_settings(path / runs.SETTINGS, "train", settings)
    (folder / "epoch-00001-step-0000000.safetensors").touch()
    return dataclasses.replace(settings, **changes)


def resume_into_another() -> None:
    settings = trained_before(resume=Path("run"), output=Path("other"))
    other = Path("other", resuming.FOLDER)
    other.mkdir(parents=True)
    (other / "epoch-00001-step-0000000.safetensors").touch()
    resuming.check(settings)


def train_twice() -> None:
    def refuse(_: Path) -> None:
        raise CheckpointError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint_files, "lock", refuse)
        patch.setattr(train, "_network", two_classes)
        train.train(TrainSettings(data=write_photos(4, 4), output=Path("run"), image_size=8))


def resume_nowhere(*others: str) -> None:
    Path("a.toml").touch()
    Path("nowhere").mkdir()
    if others:
        trained_before()
        Path("run").rename("nowhere/../there")
    arguments = ["train", *others, "--resume", "there" if others else "nowhere"]
    commands.app.parse_args(arguments, exit_on_error=False, print_error=False)


def train_without_space() -> None:
    """For a checkpoint, or for its folder."""

    def refuse(*_: Any) -> None:
        raise OSError(28, os.strerror(28))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "write", refuse)
        patch.setattr(train, "_network", two_classes)
        train.train(TrainSettings(data=write_photos(4, 4), output=Path("run"), image_size=8))


def train_without_a_folder(where: Any, name: str) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(13, os.strerror(13))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(where, name, refuse)
        patch.setattr(train, "_network", two_classes)
        train.train(TrainSettings(data=write_photos(4, 4), output=Path("run"), image_size=8))


def train_until_interrupted() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "_network", two_classes)
        patch.setattr(train, "_callbacks", lambda _: [Ends(signal.SIGINT, 1)])
        train.train(TrainSettings(data=write_photos(4, 4), output=Path("run"), image_size=8))


def train_until_the_test_is_interrupted() -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    settings = TrainSettings(data=write_photos(4, 4), output=Path("run"), image_size=8, epochs=1)
    with pytest.MonkeyPatch.context() as patch, uncompiled():
        patch.setattr(train, "_network", two_classes)
        patch.setattr(classifier, "of", lambda *_: SimpleNamespace(evaluate=interrupt))
        train.train(settings)


def load_any(path: str, *files: str) -> None:
    for name in files:
        Path(path).mkdir()
        (Path(path) / name).touch()
    classifier.load_any(Path(path))


def keep_settings(settings: str | None, output: str = "run", **changes: Any) -> None:
    """In a folder with those of another search."""
    if settings is not None:
        Path("run/search").mkdir(parents=True)
        Path("run/settings.json").write_text(settings, encoding="utf-8")
    data = counted(2, 2)
    tune._keep_settings(TuneSettings(output=Path(output), **changes), data)


def finish(*rows: Any) -> None:
    """A search with such trials, in a folder that is gone."""
    oracle = SimpleNamespace(
        get_space=lambda: SimpleNamespace(space=[]), trials=dict(enumerate(rows))
    )
    model = network()
    scores = {"loss": 0.0, "accuracy": 0.0}
    tuner: Any = SimpleNamespace(oracle=oracle, get_best_models=lambda _: [model])
    reader = images.Reader(for_squares(**PREPROCESSING))
    batches: Any = SimpleNamespace(
        found=SimpleNamespace(every=counted(2, 2), split={}),
        reader=reader,
        test=Batches(counted(2, 2), reader.layer, 2),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.Model, "evaluate", lambda *_, **__: scores)
        tune._finish(TuneSettings(output=Path("nowhere")), batches, tuner, {})


def find_best_without_weights() -> None:
    def load(_: int) -> None:
        raise KeyError("layers")

    best = [SimpleNamespace(trial_id="1")]
    tuner: Any = SimpleNamespace(
        oracle=SimpleNamespace(get_best_trials=lambda _: best),
        get_best_models=load,
        get_trial_dir=lambda name: f"search/trial_{name}",
    )
    trials.best_network(tuner)


def trial(**changes: Any) -> Any:
    parameters = SimpleNamespace(values={})
    known = {"trial_id": "0", "status": "COMPLETED", "score": 0.5, "message": None}
    return SimpleNamespace(**{**known, "hyperparameters": parameters, **changes})


TUNE: list[Row] = [
    (
        lambda: TuneSettings(epochs=10**7),
        ValueError,
        "`epochs` must be at most 1000000. Received: epochs=10000000",
    ),
    (
        lambda: TuneSettings(seed=2**31),
        ValueError,
        "`seed` must be below 2**31. Received: seed=2147483648",
    ),
    (
        tune_small,
        InputError,
        "The budget must let the smallest network of the space through, which has 5082 parameters "
        "and takes 142880 multiply-adds. Received: max_parameters=10.0",
    ),
    (
        lambda: keep_settings("["),
        InputError,
        "'run/settings.json' is damaged: choose another folder with `--output`, or begin anew with "
        "`--overwrite`",
    ),
    (
        lambda: keep_settings('{"preset": "small-images"}'),
        InputError,
        "The folder 'run' holds a search with other settings, which can only go on with its own: "
        "choose another with `--output`, or begin anew with `--overwrite`. Received: epochs=8, "
        "there epochs=None",
    ),
    (lambda: keep_settings(None, "nowhere"), InputError, NOWHERE),
    (finish, InputError, "No trial succeeded. The last one ended so: no trial was made"),
    (
        lambda: finish(trial(score=None, message="Traceback\nRuntimeError: no luck\n")),
        InputError,
        "No trial succeeded. The last one ended so: RuntimeError: no luck",
    ),
    (lambda: finish(trial()), InputError, NOWHERE),
    (
        find_best_without_weights,
        InputError,
        "The weights of the best trial in 'search/trial_1' cannot be read: without that folder the "
        "same command trains another in its place",
    ),
]

# --- the other commands --------------------------------------------------------------------------


def to_keras(
    output: str = "model.keras", variant: str | None = None, tag: str | None = None
) -> None:
    convert.to_keras(Path("weights.npz"), Path(output), variant, tag)


def convert_to(output: str, **options: Any) -> None:
    commands.convert(Path("a"), output=Path(output), **options)


def to_keras_into_nothing() -> None:
    rl.save_torch_weights(rl.ResNet.from_variant("test_resnet"), "weights.safetensors")
    convert.to_keras(Path("weights.safetensors"), Path("none/model.keras"), "test_resnet", None)


def to_torch_on_a_full_disk() -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    write_saved()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convert, "save_torch_weights", fail)
        convert.to_torch(Path("model.keras"), Path("weights.safetensors"))


def to_torch_with_biases() -> None:
    stem = rl.Stem(4, style={"use_bias": True})
    rl.ResNet(stem, [rl.ResNetStage(4, 1)], rl.ClassifierHead(2)).save("model.keras")
    convert.to_torch(Path("model.keras"), Path("weights.safetensors"))


def export(format: str = "onnx", precision: str = "float32", **changes: Any) -> None:
    """The file of a network, if the options come so far."""
    chosen = {"output": None, "calibration": None, "image_size": None, **changes}
    export_command.export(write_saved(), format=format, precision=precision, **chosen)


def main_with_config(text: str) -> None:
    Path("a.toml").write_text(text, encoding="utf-8")
    tokens = ["train", "--config", "a.toml"]
    commands.app.parse_args(tokens, exit_on_error=False, print_error=False)


def install_completion_for_nobody() -> None:
    def fail() -> None:
        raise ShellDetectionError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cyclopts.completion.detect.detect_shell", fail)
        main(["--install-completion"])


def install_completion_nowhere() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "home", lambda: Path("~unknown").expanduser())
        main(["--install-completion", "--shell", "bash"])


def main(tokens: list[str]) -> None:
    """What `app.main` says the errors of."""
    command, bound, _ = commands.app.parse_args(tokens, exit_on_error=False, print_error=False)
    command(*bound.args, **bound.kwargs)


def read_config(text: str) -> None:
    Path("a.toml").write_text(text, encoding="utf-8")
    config._read(Path("a.toml"))


def start_without_backend(**variables: str) -> None:
    def fail(devices: int) -> None:
        raise ModuleNotFoundError("No module named 'torch'\nand more")

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("KERAS_BACKEND", raising=False)
        for name, value in variables.items():
            patch.setenv(name, value)
        patch.setattr(environment, "start", fail)
        commands._module("evaluate")


def start_with_settings(content: object) -> None:
    """With what Keras cannot read as its settings."""
    Path("keras.json").write_text(json.dumps(content), encoding="utf-8")

    def fail(devices: int) -> None:
        raise AttributeError("'list' object has no attribute 'get'")

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("KERAS_BACKEND", raising=False)
        patch.setenv("KERAS_HOME", ".")
        patch.setattr(environment, "start", fail)
        commands._module("evaluate")


def machine(_error: Exception | None = None, **variables: Any) -> None:
    """One of many in a search, with these variables of keras-tuner."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(f"KERASTUNER_{name}", value)
        with machines.connected():
            machines.check()
            if _error:
                raise _error


class RpcError(Exception):
    """As gRPC names it."""

    def details(self) -> str:
        return "Deadline Exceeded"


CHIEF = {"ORACLE_IP": "1.2.3.4", "ORACLE_PORT": "80", "TUNER_ID": "chief"}
BESIDE_IP = "must be set where `KERASTUNER_ORACLE_IP` is, for a search on many machines"

OTHERS: list[Row] = [
    (
        lambda: start_with_settings([]),
        InputError,
        "Keras cannot be imported by its settings in './keras.json': 'list' object has no "
        "attribute 'get'",
    ),
    (
        lambda: machine(ORACLE_IP="1.2.3.4", TUNER_ID="chief"),
        InputError,
        f"`KERASTUNER_ORACLE_PORT` {BESIDE_IP}",
    ),
    (
        lambda: machine(ORACLE_IP="1.2.3.4", ORACLE_PORT="80"),
        InputError,
        f"`KERASTUNER_TUNER_ID` {BESIDE_IP}",
    ),
    *(
        (
            functools.partial(machine, None, **{**CHIEF, "ORACLE_PORT": port}),
            InputError,
            f"`KERASTUNER_ORACLE_PORT` must be a number from 1 to 65535. Received: '{port}'",
        )
        for port in ("x", "0", "65536", "²")
    ),
    (
        lambda: machine(RuntimeError("Failed to bind to address 1.2.3.4:80"), **CHIEF),
        InputError,
        "The chief of the search cannot listen at '1.2.3.4:80'",
    ),
    (
        lambda: machine(RpcError(), **CHIEF),
        InputError,
        "The chief of the search at '1.2.3.4:80' fails: Deadline Exceeded",
    ),
    (
        start_without_backend,
        InputError,
        "Keras cannot be imported: No module named 'torch'",
    ),
    (
        lambda: start_without_backend(KERAS_BACKEND="torch"),
        InputError,
        "Keras cannot be imported with KERAS_BACKEND='torch': No module named 'torch'",
    ),
    (
        lambda: to_keras(tag=TAG, variant="resnet34"),
        InputError,
        f"`--tag` must be one of the network. Received: variant='resnet34', tag='{TAG}'",
    ),
    (
        to_keras,
        InputError,
        "The network must be named with `--variant`, since the name of 'weights.npz' is no tag of "
        "published weights",
    ),
    (
        lambda: to_keras(variant="resnet18"),
        InputError,
        "`source` must be a file that exists. Received: source='weights.npz'",
    ),
    (
        commands.compare,
        InputError,
        "`MODELS` must be one name or file, or several. Received: none",
    ),
    (
        lambda: profile.networks_of([str(write_photos(1))]),
        InputError,
        "A network must be a name from `resnet-layers list`, or a .keras file. Received: 'photos'",
    ),
    (
        lambda: commands.draw("resnet18", output=Path("resnet18.gif")),
        InputError,
        "The name of the output must end in one of '.svg', '.png', '.pdf'. "
        "Received: 'resnet18.gif'",
    ),
    (
        lambda: commands.profile("resnet18", image_size=[1, 2, 3]),
        InputError,
        "`image_size` must be one number, or one for each of 2 axes. "
        "Received: image_size=[1, 2, 3]",
    ),
    *[
        (
            lambda name=name, value=value: convert.known(
                Path(CHECKPOINT), **{"variant": None, name: value}
            ),
            InputError,
            f"`--{name}` must be left out with a checkpoint, which has its network. Received: "
            f"{name}={value!r}",
        )
        for name, value in (
            ("variant", "resnet18"),
            ("tag", "resnet18.a1_in1k"),
            ("averaged", True),
        )
    ],
    (
        lambda: convert_to("model.h5"),
        InputError,
        "The name of the output must end in '.keras'. Received: 'model.h5'",
    ),
    (
        lambda: convert_to("none/model.keras"),
        InputError,
        "The folder of the output must exist. Received: 'none/model.keras'",
    ),
    (
        lambda: convert_to("weights.pth", to="torch"),
        InputError,
        "The name of the output must end in '.safetensors'. Received: 'weights.pth'",
    ),
    (
        to_torch_with_biases,
        InputError,
        "`model` must have no biases in its convolutions, since timm's networks have none. "
        "Received: conv1.bias",
    ),
    (
        lambda: commands.export(Path("a.keras"), format="onnx", precision="int8"),
        InputError,
        "`format` must be one of 'litert', 'openvino' for precision='int8'. Received: "
        "format='onnx'",
    ),
    (
        lambda: commands.export(Path("a.keras"), format="openvino", precision="int8"),
        InputError,
        "`--calibration` must name a folder of images for int8, with a subfolder for each class: "
        "some hundred images like those that the network will see",
    ),
    (
        lambda: export(image_size=[8, 9, 10]),
        InputError,
        "`--image-size` must be one number, or one for each of 2 pixel axes. Received: 8 9 10",
    ),
    (
        lambda: export(output=Path("model.tflite")),
        InputError,
        "`path` must have a name that ends in '.onnx' for ONNX. Received: path='model.tflite'",
    ),
    (
        lambda: commands.evaluate(Path("model.keras"), every=True),
        InputError,
        "`--all` must come with `--data`, the folder of the images",
    ),
    (
        lambda: commands.predict(Path("model.keras"), "a.png", top=0),
        InputError,
        "`top` must be a positive integer. Received: top=0",
    ),
    (
        lambda: convert_to("a.safetensors", to="torch", variant="resnet18"),
        InputError,
        "`--variant`, `--tag` and `--averaged` must be left out with `--to torch`",
    ),
    (
        lambda: commands.predict(Path("model.keras"), "a.png", as_json=True, as_csv=True),
        InputError,
        "`--json` and `--csv` must not come together",
    ),
    (
        lambda: commands.evaluate(Path("model.keras")),
        InputError,
        "The model file 'model.keras' cannot be read: No such file or directory",
    ),
    (
        lambda: load_any("run", "model.keras"),
        InputError,
        "The network of the run in 'run' is 'run/model.keras': name that file",
    ),
    (
        lambda: load_any("model.bin"),
        InputError,
        "A network must be a .keras file, or what `export` wrote: a folder, or a file that ends "
        "in .onnx, .tflite, .xml. Received: 'model.bin'",
    ),
    (
        lambda: resume_nowhere("--config", "a.toml"),
        InputError,
        "`--config` must not come with `--resume`, which has its options",
    ),
    (train_twice, InputError, "Another process trains into 'run'"),
    (resume_nowhere, InputError, "There is no checkpoint in 'nowhere'"),
    (
        lambda: resuming.check(trained_before(resume=Path("run"), batch_size=3)),
        InputError,
        "`--resume` takes the options of its run; --epochs, --output, --data and --devices alone "
        "may differ. Received: batch_size=3, in the run batch_size=64",
    ),
    (
        resume_into_another,
        InputError,
        "The folder 'other' holds checkpoints of another run: choose another with `--output`",
    ),
    (
        lambda: resuming.check(trained_before(epochs=3)),
        InputError,
        "The folder 'run' holds the checkpoints of another run, which was not ended: go on with it "
        "with `--resume`, choose another with `--output`, or begin anew with `--overwrite`",
    ),
    (
        lambda: resuming.check(
            trained_before(
                from_=f"run/checkpoints/{CHECKPOINT}", variant=None, recipe=None, overwrite=True
            )
        ),
        InputError,
        "`from` must not be a checkpoint of the run whose place is taken: choose another folder "
        f"with `--output`. Received: from='run/checkpoints/{CHECKPOINT}'",
    ),
    (
        lambda: forecast.check_size(TrainSettings(batch_size=64), 10**6),
        InputError,
        f"`image_size` must let a batch fit into memory, {ANY} GB. Received: image_size=1000000, "
        f"batch_size=64, which take {ANY} GB",
    ),
    (
        lambda: classifier.load_any(Path(CHECKPOINT)),
        InputError,
        f"A checkpoint must be made a .keras file first, by `convert`. Received: '{CHECKPOINT}'",
    ),
    (
        lambda: resuming.last_state(trained_before()),
        InputError,
        "'run/checkpoints/epoch-00001-step-0000000.safetensors' is no whole checkpoint; begin anew "
        "with `--overwrite`",
    ),
    (
        train_without_space,
        InputError,
        "The output folder 'run' cannot be written to: No space left on device",
    ),
    *[
        (
            lambda where=where, name=name: train_without_a_folder(where, name),
            InputError,
            "The output folder 'run' cannot be written to: Permission denied",
        )
        for where, name in ((runs, "write_settings"), (resuming, "end"))
    ],
    *[
        (
            call,
            KeyboardInterrupt,
            "interrupted: no unfinished file is left behind; `train --resume run` goes on",
        )
        for call in (train_until_interrupted, train_until_the_test_is_interrupted)
    ],
    (
        search_that_loses_an_image,
        searched.LostError,
        f"The image '{ANY}.png' cannot be read: it is damaged; when it can be, the same command "
        "goes on with the search",
    ),
    (
        interrupted_search,
        KeyboardInterrupt,
        "interrupted: no unfinished file is left behind; the same command goes on with the search",
    ),
    (
        lambda: predict.paths([]),
        InputError,
        "The standard input must name one image or more. Received: none",
    ),
    (
        lambda: commands.predict(Path("model.keras")),
        InputError,
        "An image must be named: `resnet-layers predict MODEL IMAGE...`",
    ),
    (
        lambda: commands.predict(Path("model.keras"), "--tpo", "1"),
        InputError,
        "An image must be a file, a folder, a pattern or `-`; one whose name begins with a hyphen "
        "is './-name'. Received: '--tpo'",
    ),
    (
        lambda: config.check(Path("a.toml"), {"train": {"epochs": 1}}, ["epochs"], "train"),
        InputError,
        "The file 'a.toml' must have its options outside of tables. Received: [train]",
    ),
    (
        lambda: main_with_config("epocs = 1"),
        InputError,
        "The file 'a.toml' must have options of `train` alone; did you mean `epochs`? "
        "Received: epocs",
    ),
    (
        lambda: main_with_config("zzz = 1"),
        InputError,
        "The file 'a.toml' must have options of `train` alone. Received: zzz",
    ),
    (
        lambda: options._integer(int, [Token(keyword="--epochs", value="1.5")]),
        CoercionError,
        "Invalid value for --epochs: '1.5' is no integer",
    ),
    (
        lambda: options._path(Path, [Token(keyword="--data", value="")]),
        CoercionError,
        "Invalid value for --data: '' is no path",
    ),
    (
        lambda: config._read(Path("a.toml")),
        InputError,
        "The file 'a.toml' cannot be read: No such file or directory",
    ),
    (
        lambda: os.mkfifo("a.toml") or config._read(Path("a.toml")),  # type: ignore[func-returns-value]
        InputError,
        "The file 'a.toml' cannot be read: Not a file",
    ),
    (
        install_completion_for_nobody,
        InputError,
        "The shell must be named with `--shell`, since nothing tells which it is: zsh, bash, fish "
        "or powershell",
    ),
    (
        install_completion_nowhere,
        InputError,
        "`HOME` must name the folder in which a shell looks",
    ),
    (
        lambda: Path("a.npz").mkdir() or errors.check_new(".npz", Path("a.npz")),  # type: ignore[func-returns-value]
        InputError,
        "'a.npz' cannot be written: Is a directory",
    ),
    (
        lambda: errors.check_new("", Path("a" * 240)),
        InputError,
        f"'{'a' * 240}' cannot be written: its name must have at most {ANY} bytes",
    ),
    (
        lambda: explained(1, name="cow"),
        InputError,
        "`--class` must be one of 'a', 'b', 'c'. Received: 'cow'",
    ),
    (
        lambda: read_config("a = " + "[" * 5000),
        InputError,
        f"The file 'a.toml' must be TOML: {ANY}",
    ),
    (
        to_keras_into_nothing,
        InputError,
        "The output folder 'none' cannot be written to: No such file or directory",
    ),
    (
        lambda: latency.measure(1),  # whose folder is no place for one, in tests
        InputError,
        "'/dev/null/cache/machine.json' cannot be written, where the numbers are kept: Not a "
        "directory. The variable RESNET_LAYERS_CACHE names another folder",
    ),
    (
        lambda: explained(257),
        InputError,
        "A sheet has at most 256 images. Received: 257",
    ),
    (
        lambda: explained(1, photo="none.png"),
        InputError,
        "An image must be readable, to be explained. Received: none",
    ),
    (
        lambda: explained(1),
        InputError,
        "'a.png' cannot be written: Is a directory",
    ),
    (
        lambda: study.run(several_in_a_table(), 8, [8], [], 2, 1, 64, None, 1, Path("studied")),
        InputError,
        "The images of a study must have one label each. Received: several in the table 'a.csv'",
    ),
    (
        lambda: studied(KeyboardInterrupt()),
        KeyboardInterrupt,
        "interrupted: no unfinished file is left behind; the same command goes on with the study",
    ),
    (
        lambda: studied(OSError(28, "No space left on device")),
        InputError,
        "The output folder 'studied' cannot be written to: No space left on device",
    ),
    (
        to_torch_on_a_full_disk,
        InputError,
        "The output folder '.' cannot be written to: No space left on device",
    ),
    (
        lambda: read_config("epochs = "),
        InputError,
        f"The file 'a.toml' must be TOML: {ANY}",
    ),
    *[
        (
            functools.partial(main_with_config, text),
            InputError,
            f"The file 'a.toml' must have {what}. Received: {received}",
        )
        for text, what, received in [
            ("data = 5", "text in quotes for `data`", "data=5"),
            ("overwrite = 'yes'", "true or false for `overwrite`", "overwrite='yes'"),
            ("epochs = true", "an integer for `epochs`", "epochs=True"),
            ("batch-size = 1.5", "an integer for `batch-size`", "batch-size=1.5"),
            ("image_size = [3, 4]", "an integer for `image_size`", "image_size=[3, 4]"),
            ("learning_rate = '1'", "a number for `learning_rate`", "learning_rate='1'"),
        ]
    ],
    (
        lambda: listing.run("vit*", False),
        InputError,
        "There is no variant that matches 'vit*'",
    ),
]
ERRORS = [*MODELS, *IMAGES, *OUTPUTS, *TRAIN, *TUNE, *OTHERS]


@pytest.mark.share(6)
@pytest.mark.parametrize("row", ERRORS, ids=ids(ERRORS))
def test_error_has_type_and_whole_text(row: Row) -> None:
    check(row)


@pytest.mark.share(4)
def test_every_raise_is_in_the_table() -> None:
    assert missing(WING, ERRORS) == []
