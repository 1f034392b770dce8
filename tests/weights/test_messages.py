"""Every error of weights and published networks: its type and its whole text."""

import contextlib
import functools
import json
import pickle
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

import resnet_layers as rl
from tests.support.messages import ANY, Row, check, ids, missing
from tests.weights.test_reading import (
    TINY,
    UNREADABLE,
    assert_untouched,
    save_npz,
    tensors,
    tiny,
)

WING = "weights"
TAG = "test_resnet.r160_in1k"
MODEL = functools.cache(tiny)  # which nobody changes


# --- load_weights_from ---------------------------------------------------------------------------


def load(source: Any, model: Any = None, **keywords: Any) -> None:
    """Into a small network, which stays as it is."""
    model = model or MODEL()
    before = model.get_weights()
    try:
        rl.load_weights_from(model, source, **keywords)
    finally:
        assert_untouched(model, before)


def load_with(**changes: Any) -> None:
    """The tensors of the network with others; those that are `None` are left out."""
    source = {**tensors(MODEL()), **{name.replace("__", "."): v for name, v in changes.items()}}
    load({name: value for name, value in source.items() if value is not None})


def load_with_head(head: Any) -> None:
    body = tiny()
    load(tensors(MODEL()), rl.ResNet(body.stem, body.stages, head))


@keras.saving.register_keras_serializable("resnet_layers_tests")
class ScaledHead(rl.ClassifierHead):
    """Has a variable that no other library knows."""

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self.scale = self.add_weight(shape=(), name="scale")


class Unreadable:
    """An array on a disk that fails."""

    shape, dtype = (3,), np.dtype("float32")

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("it has a scratch\nask somebody else")


def filled_with(number: float) -> None:
    """Two tensors of it, in float64, which the network has not."""
    load_with(layer1__0__conv1__weight=np.full((4, 4, 3, 3), number), fc__bias=np.full(3, number))


def names_twice() -> None:
    entry = json.dumps({"dtype": "F32", "shape": [1], "data_offsets": [0, 4]})
    header = f'{{"a": {entry}, "a": {entry}}}'.encode()
    content = len(header).to_bytes(8, "little") + header + bytes(4)
    Path("weights.safetensors").write_bytes(content)
    load("weights.safetensors")


def foreign_file() -> None:
    Path("weights.npz").write_bytes(b"<!DOCTYPE html>")
    load("weights.npz")


def folder_with_an_ending() -> None:
    Path("folder.npz").mkdir()
    load("folder.npz")


def infinite_in_a_file(name: str) -> None:
    arrays = {**tensors(MODEL()), "bn1.bias": np.array([0, 0, 1e39, 0])}
    (save_npz if name.endswith("npz") else save_file)(arrays, Path(name))
    load(name)


def load_with_negative(name: str) -> None:
    arrays = tensors(MODEL())
    load({**arrays, name: -arrays[name]})


def torch_that(load: Any) -> Any:
    """What loading a file needs of torch."""
    trusted = types.SimpleNamespace(safe_globals=contextlib.nullcontext)
    return types.SimpleNamespace(load=load, serialization=trusted)


def with_torch(torch: Any) -> None:
    """A file of torch's, with something in place of torch; `None` for nothing."""
    # In torch's older format, and without a tensor.
    Path("weights.pth").write_bytes(b"".join(map(pickle.dumps, (0, 0, 0, {}))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "torch", torch)
        load("weights.pth")


def speaking_of(key: str = "0", count: int = 2, name: str = "FloatStorage") -> bytes:
    """A pickle of a storage, as torch writes it."""
    texts = [b"X%s%s" % (len(text).to_bytes(4, "little"), text.encode()) for text in (key, "cpu")]
    storage = b"X\x07\x00\x00\x00storagectorch\n%s\n" % name.encode()
    return b"\x80\x02(%s%sK%ctQ." % (storage, b"".join(texts), count)


def torch_archive(pickled: bytes, compress: int = 0, **members: bytes) -> None:
    with zipfile.ZipFile("weights.pth", "w", compress) as archive:
        archive.writestr("weights/data.pkl", pickled)
        for key, content in members.items():
            archive.writestr(f"weights/data/{key.removeprefix('_')}", content)
    load_for_torch()


def load_for_torch() -> None:
    """Without torch, which does not see what is refused before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "torch", types.SimpleNamespace())
        load("weights.pth")


def damaged_torch_archive() -> None:
    with contextlib.suppress(Exception):
        torch_archive(speaking_of(), _0=b"numbers!")
    path = Path("weights.pth")
    path.write_bytes(path.read_bytes().replace(b"numbers!", b"Numbers!"))
    load_for_torch()


def older_torch_file() -> None:
    Path("weights.pth").write_bytes(b"".join(map(pickle.dumps, (0, 0, 0))) + speaking_of())
    load_for_torch()


def hdf5(write: Any) -> None:
    with h5py.File("a.weights.h5", "w") as file:
        write(file)
    load("a.weights.h5")


def some_layers(file: Any) -> None:
    """As many as keras.applications' ResNet50 has, of a number each."""
    for kind in ("conv2d", "batch_normalization"):
        for i in range(53):
            file[f"layers/{kind}_{i}/vars/0" if i else f"layers/{kind}/vars/0"] = np.zeros((1,) * 4)


def text_without_length() -> None:
    with h5py.File("a.weights.h5", "w") as file:
        file.attrs["a"] = ["some", "texts"]
    path = Path("a.weights.h5")
    content = path.read_bytes()
    start = content.index(b"GCOL") + 16
    path.write_bytes(content[:start] + bytes(100) + content[start + 100 :])
    load(path)


def emptied_npz() -> None:
    save_npz({"a": np.zeros(3)}, Path("a.npz"))
    with zipfile.ZipFile("a.npz") as archive:
        content = archive.read("a.npy")
    with zipfile.ZipFile("a.npz", "w") as archive:
        archive.writestr("a.npy", content[:-8])
    load("a.npz")


def refuse_to_unpickle(*_: Any, **__: Any) -> None:
    raise pickle.UnpicklingError("Weights only load failed")


def weights_of_another_model() -> None:
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]).save_weights("a.weights.h5")
    load("a.weights.h5")


def renamed_file_of_keras_3() -> None:
    """With as many layers as keras.applications' ResNet50 has."""
    with h5py.File("renamed.h5", "w") as file:
        file["layers/conv2d/vars/0"] = np.zeros((7, 7, 3, 64))
        for i in range(1, 53):
            file.create_group(f"layers/conv2d_{i}")
        for i in range(53):
            file.create_group(f"layers/batch_normalization_{i}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.applications, "ResNet50", lambda **_: keras.Sequential())
        load("renamed.h5")


SKIP = "`skip` must be a list of names among 'stem', 'stage1', 'stage2', 'head'. Received: skip="
TENSORS = (
    "The tensors of `source` must be those of `model`, named as in timm (- is missing, + is not "
    "expected, ! does not fit). Received: source=<mapping> with\n"
)
FOREIGN = (
    "`source` must hold a ResNet, ResNetV2 or VGG of keras.applications where it is a Keras "
    "model. Received: source="
)
SOURCE = (
    "`source` must be a path, a mapping from names to arrays, or a Keras model. Received: source="
)
NOT_FINITE = (
    "The tensors of `source` must be finite in the dtypes of the variables of `model`. "
    "Received: source="
)

LOADING: list[Row] = [
    (
        lambda: rl.load_weights_from(keras.layers.Dense(3, name="dense"), {}),
        TypeError,
        "`model` must be a ResNet. Received: model=<Dense name=dense, built=False>",
    ),
    (lambda: load({}, skip="head"), TypeError, f"{SKIP}'head'"),
    (lambda: load({}, skip=1), TypeError, f"{SKIP}1"),
    (lambda: load({}, skip=["fc"]), ValueError, f"{SKIP}['fc']"),
    (lambda: load({}, skip=[["head"]]), ValueError, f"{SKIP}[['head']]"),
    (lambda: load({}, skip=["norm"]), ValueError, f"{SKIP}['norm']"),
    # Sources
    (lambda: load(None), TypeError, f"{SOURCE}None (of type <class 'NoneType'>)"),
    (lambda: load(3), TypeError, f"{SOURCE}3 (of type <class 'int'>)"),
    (lambda: load(["a"]), TypeError, f"{SOURCE}['a'] (of type <class 'list'>)"),
    (
        lambda: load({3: np.zeros(2)}),
        TypeError,
        "`source` must map names to arrays. Received: 3 for a <class 'numpy.ndarray'>",
    ),
    (
        lambda: load({"a": "b"}),
        TypeError,
        "`source` must map names to arrays. Received: 'a' for a <class 'str'>",
    ),
    (
        lambda: load({"state_dict": {"a": [1.0]}}),
        TypeError,
        "`source` must map names to arrays. Received: 'a' for a <class 'list'>",
    ),
    (
        lambda: load({"epoch": 3, "optimizer": {"lr": 0.1}}),
        ValueError,
        "A checkpoint must have its weights as one of state_dict, model, model_state_dict, state, "
        "module, _orig_mod, net, network, backbone, state_dict_ema, model_ema, ema_state_dict, "
        "ema_model, ema, swa_model. Received: source=<mapping> with epoch, optimizer",
    ),
    (
        lambda: load({"state_dict": {"a": np.zeros(1)}, "model": {"b": np.zeros(1)}}),
        ValueError,
        "A checkpoint must have one set of weights, and one that is averaged; give the one that is "
        "meant as a mapping. Received: source=<mapping> with state_dict, model",
    ),
    (
        lambda: load({"ema": {"shadow_params": [np.zeros(1)]}, "model": {"b": np.zeros(1)}}),
        ValueError,
        "Averaged weights must have names; averaged=False takes the others. "
        "Received: source=<mapping> with ema whose shadow_params is a list",
    ),
    (
        lambda: load({"state_dict": {"a": np.zeros(1)}}, averaged=True),
        ValueError,
        "`averaged` must be False or None where a checkpoint has no averaged weights. "
        "Received: source=<mapping>, averaged=True",
    ),
    (
        lambda: load({"n_averaged": np.zeros(()), "module.a": np.zeros(1)}, averaged=False),
        ValueError,
        "`averaged` must be True or None where a checkpoint has no other weights. "
        "Received: source=<mapping>, averaged=False",
    ),
    (
        lambda: load({}, averaged=1),
        TypeError,
        "`averaged` must be True or False. Received: averaged=1",
    ),
    (lambda: load(MODEL()), ValueError, f"{FOREIGN}<ResNet name=resnet18, built=True>"),
    (
        lambda: load(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)], name="a")),
        ValueError,
        f"{FOREIGN}<Sequential name=a, built=True>",
    ),
    (
        lambda: load(keras.Sequential([keras.layers.Dense(3)], name="a")),
        ValueError,
        f"{FOREIGN}<Sequential name=a, built=False>",
    ),
    (
        lambda: load({f"{name}/conv1_conv/kernel": np.zeros((7, 7, 3, 4)) for name in ("a", "b")}),
        ValueError,
        "`source` must not have two tensors of one name. Received: 'conv1_conv/kernel'",
    ),
    # Files
    (
        lambda: load("weights.txt"),
        ValueError,
        "`source` must be a file that ends in .safetensors, .pth, .pt, .bin, .pth.tar, "
        ".ckpt, .npz, .h5. "
        "Received: source='weights.txt'",
    ),
    (
        lambda: load("missing.npz"),
        ValueError,
        "`source` must be a file that exists. Received: source='missing.npz'",
    ),
    (
        folder_with_an_ending,
        ValueError,
        "`source` must be a file that exists. Received: source='folder.npz'",
    ),
    (
        foreign_file,
        ValueError,
        f"{UNREADABLE}'weights.npz', which cannot be read: File is not a zip file",
    ),
    (
        names_twice,
        ValueError,
        f"{UNREADABLE}'weights.safetensors', which cannot be read: names stand there twice: a",
    ),
    (
        lambda: with_torch(None),
        ImportError,
        "`source` must be read by torch, which is not installed: "
        "`pip install \"resnet-layers[torch]\"`. Received: source='weights.pth'",
    ),
    (
        lambda: with_torch(torch_that(refuse_to_unpickle)),
        ValueError,
        f"{UNREADABLE}'weights.pth', which cannot be read: torch refuses it in weights-only mode, "
        "which runs no code of a file",
    ),
    (
        lambda: with_torch(torch_that(lambda *_, **__: [3])),
        ValueError,
        f"{UNREADABLE}'weights.pth', which cannot be read: it holds a <class 'list'> and no "
        "mapping",
    ),
    (
        weights_of_another_model,
        ValueError,
        f"{UNREADABLE}'a.weights.h5', which cannot be read: it holds no weights of a ResNet from "
        "keras.applications",
    ),
    (
        renamed_file_of_keras_3,
        ValueError,
        f"{UNREADABLE}'renamed.h5', which cannot be read: Keras 3 reads its weights from files "
        "that end in .weights.h5 alone",
    ),
    *[
        (call, ValueError, f"{UNREADABLE}'weights.pth', which cannot be read: {text}")
        for call, text in (
            (
                lambda: torch_archive(speaking_of(), zipfile.ZIP_DEFLATED, _0=bytes(8)),
                "torch compresses no members, as these are: 'weights/data.pkl', 'weights/data/0'",
            ),
            (
                lambda: torch_archive(speaking_of("1"), _0=bytes(8)),
                "its member 'weights/data/1' is missing",
            ),
            (
                lambda: torch_archive(speaking_of(), _0=b""),
                "its member 'weights/data/0' must have the 8 bytes of its tensor. "
                "Received: 0 bytes",
            ),
            (
                lambda: torch_archive(speaking_of(name="Lambda")),
                "it must hold tensors of numbers. Received: 'storage' of 'Lambda'",
            ),
            (
                lambda: torch_archive(speaking_of()[:-1] + speaking_of(count=3)[2:]),
                "it says of its storage '0' that it has two sizes",
            ),
            (damaged_torch_archive, "these members are damaged: 'weights/data/0'"),
            (
                older_torch_file,
                "it must have the 8 bytes of its tensors. Received: 0 bytes after their names",
            ),
        )
    ],
    *[
        (
            functools.partial(hdf5, write),
            ValueError,
            f"{UNREADABLE}'a.weights.h5', which cannot be read: {text}",
        )
        for write, text in (
            (
                lambda file: file.update({"a": h5py.SoftLink("/b")}),
                "'/a' is a link, which may lead to another file",
            ),
            (
                lambda file: file.create_group("a").update({"b": h5py.ExternalLink("c.h5", "/")}),
                "'/a/b' is a link, which may lead to another file",
            ),
            (
                lambda file: file.create_dataset("a", (2,), "f4", external=[("b", 0, 8)]),
                "the values of '/a' are in another file",
            ),
            (
                lambda file: file.create_virtual_dataset(
                    "a", h5py.VirtualLayout((2,), "f4"), fillvalue=0
                ),
                "the values of '/a' are in another file",
            ),
            (lambda file: file.create_dataset("a", (2,), "f4"), "'/a' lacks values"),
            (lambda file: file.create_dataset("a", data=h5py.Empty("f4")), "'/a' lacks values"),
            (
                lambda file: file.create_dataset("a", (9,), "f4", chunks=(4,))[:4].fill(0),
                "'/a' lacks values",
            ),
            (
                lambda file: file.create_dataset(
                    "a", data=np.zeros(2), maxshape=(None,), chunks=(2**20,), compression="gzip"
                ),
                "'/a' is in pieces larger than it",
            ),
            (
                lambda file: file.create_dataset("a", data=np.zeros(2**20), compression="gzip"),
                f"its {ANY} bytes cannot hold the 8388608 bytes of its datasets",
            ),
            (
                lambda file: file.attrs.update({"a": ["some", "texts"]}),
                "it holds no weights of a ResNet from keras.applications",
            ),
            (
                some_layers,
                "it holds 106 numbers, fewer than the ResNet50 that it says it is of",
            ),
        )
    ],
    (
        text_without_length,
        ValueError,
        f"{UNREADABLE}'a.weights.h5', which cannot be read: the heap of its texts is damaged",
    ),
    (
        emptied_npz,
        ValueError,
        f"{UNREADABLE}'a.npz', which cannot be read: its member 'a.npy' must have 24 bytes. "
        "Received: 16 bytes",
    ),
    # Tensors
    (
        lambda: load_with(bn1__bias=None, fc__weight=np.zeros((2, 8)), extra=np.zeros(1)),
        ValueError,
        f"{TENSORS} - bn1.bias (4,)\n ! fc.weight: has (2, 8), needs (3, 8)\n + extra",
    ),
    (
        lambda: load_with(fc__bias=np.zeros(3, "int32")),
        ValueError,
        f"{TENSORS} ! fc.bias: has int32, needs floating point\n"
        "If only the classes differ, give skip=('head',).",
    ),
    (
        lambda: load_with(fc__bias=Unreadable()),
        ValueError,
        "The tensors of `source` must be readable. Received: source=<mapping>, where fc.bias is "
        "not: it has a scratch",
    ),
    *[
        (
            functools.partial(filled_with, number),
            ValueError,
            f"{NOT_FINITE}<mapping>, where these are not: layer1.0.conv1.weight, fc.bias",
        )
        for number in (np.nan, -np.inf, 1e300)
    ],
    *[
        (
            functools.partial(infinite_in_a_file, name),
            ValueError,
            f"{NOT_FINITE}'{name}', where these are not: bn1.bias",
        )
        for name in ("weights.safetensors", "weights.npz")
    ],
    (
        lambda: load_with_negative("bn1.running_var"),
        ValueError,
        "The variances of `source` must not be negative. Received: source=<mapping>, where these "
        "are: bn1.running_var",
    ),
    # Networks
    (
        lambda: load_with_head(
            keras.Sequential(
                [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)], name="own"
            )
        ),
        TypeError,
        "The head of `model` must be a ClassifierHead, since nothing else has names in other "
        "libraries, or be left out by `skip`. "
        "Received: head=<Sequential name=own, built=True>",
    ),
    (
        lambda: load_with_head(rl.ClassifierHead(3, hidden_units=4, name="head")),
        ValueError,
        "`model` must have only layers that timm has names for, unless `skip` leaves their parts "
        "out. Received: 'hidden' (hidden) in head",
    ),
    (
        lambda: load_with_head(ScaledHead(3, name="head")),
        TypeError,
        "The head of `model` must have no variables besides those of ClassifierHead, since "
        "nothing else has names in other libraries, or be left out by `skip`. "
        "Received: head/scale",
    ),
]


# --- save_torch_weights --------------------------------------------------------------------------


def save(model: Any, path: str = "weights.safetensors") -> None:
    """To a file, which is not made."""
    try:
        rl.save_torch_weights(model, path)
    finally:
        assert not Path(path).exists()


def small(**changes: Any) -> rl.ResNet:
    return rl.ResNet.from_variant(
        "resnet18", **{**TINY, "blocks": (1,), "filters": (4,)}, **changes
    )


SAVING: list[Row] = [
    (
        lambda: save(keras.layers.Dense(3, name="dense")),
        TypeError,
        "`model` must be a ResNet. Received: model=<Dense name=dense, built=False>",
    ),
    (
        lambda: save(MODEL(), "weights.pth"),
        ValueError,
        "`path` must end in .safetensors. Received: path='weights.pth'",
    ),
    (
        lambda: save(MODEL(), "none/weights.safetensors"),
        ValueError,
        "`path` must be in a folder that exists. Received: path='none/weights.safetensors'",
    ),
    (
        lambda: save(
            rl.ResNet(rl.Stem(4), [rl.ResNetStage(4, 1)], rl.ClassifierHead(2, hidden_units=3))
        ),
        ValueError,
        "`model` must have only layers that timm has names for, unless `skip` leaves their parts "
        "out. Received: 'hidden' (hidden) in head",
    ),
    (
        lambda: save(small(use_bias=True)),
        ValueError,
        "`model` must have no biases in its convolutions, since timm's networks have none. "
        "Received: conv1.bias, layer1.0.conv1.bias, layer1.0.conv2.bias",
    ),
]


# --- from_pretrained -----------------------------------------------------------------------------


def fetch(tag: str, hub: Any = None, **arguments: Any) -> None:
    """With `hub` in place of huggingface_hub."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "huggingface_hub", hub)
        rl.from_pretrained(tag, **arguments)


def fail(*_: Any, **__: Any) -> None:
    raise OSError("no network\nand more")


def fetch_from_keras(**arguments: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.applications, "ResNet50V2", fail)
        rl.from_pretrained("keras_resnet50v2.imagenet", **arguments)


def prepare(metadata: dict[str, Any], **keywords: Any) -> None:
    stages = [rl.ResNetStage(4, 1)]
    model = rl.ResNet(rl.Stem(4), stages, metadata=metadata, name="mine")
    rl.preprocessing(model, **keywords)


UNKNOWN = (
    "There is no tag of that name; close names: 'resnet18.a3_in1k', 'resnet18.a2_in1k', "
    "'resnet18.a1_in1k', 'resnet18d.ra2_in1k', 'resnet18.tv_in1k'. Received: tag='resnet18.a4_in1k'"
)
FULL_CACHE = {"hf_hub_download": fail, "try_to_load_from_cache": lambda *_: "cache/absent"}
NO_CACHE = {**FULL_CACHE, "try_to_load_from_cache": lambda *_: None}
HERE = ", ".join(
    f"here/{TAG}{end}"
    for end in (
        *(".safetensors", ".pth", ".npz", ".h5"),
        "/model.safetensors",
        "/pytorch_model.bin",
    )
)
UNPREPARED: list[dict[str, Any]] = [
    {},
    {"preprocessing": None},
    {"preprocessing": "x"},
    {"preprocessing": {}},
]
KERAS_FILE = "resnet50v2_weights_tf_dim_ordering_tf_kernels.h5"
KERAS = (
    "The weights 'keras_resnet50v2.imagenet' could not be downloaded by keras.applications: "
    f"no network. A folder given by `folder` can have them as {KERAS_FILE}."
)

PRETRAINED: list[Row] = [
    (lambda: rl.preprocessing("resnet18.a4_in1k"), ValueError, UNKNOWN),
    (lambda: fetch("resnet18.a4_in1k"), ValueError, UNKNOWN),
    (
        lambda: fetch("resnet50t.untrained"),
        ValueError,
        "`tag` must be one with weights, which are not public. Received: tag='resnet50t.untrained'",
    ),
    (
        lambda: fetch(TAG, classes=0),
        ValueError,
        "`classes` must be a positive integer. Received: classes=0",
    ),
    (
        lambda: fetch(TAG, classes=-1),
        ValueError,
        "`classes` must be a positive integer. Received: classes=-1",
    ),
    (
        lambda: fetch(TAG, folder="here"),
        FileNotFoundError,
        f"The weights '{TAG}' must be in a folder given by `folder`; to download them from the "
        "Hugging Face hub, or find them in its cache, install huggingface_hub: "
        f'`pip install "resnet-layers[hub]"`. Looked for {HERE}',
    ),
    (
        lambda: fetch(TAG, types.SimpleNamespace(**NO_CACHE)),
        FileNotFoundError,
        f"The weights '{TAG}' could not be downloaded from timm/{TAG}: no network",
    ),
    (
        lambda: fetch(TAG, types.SimpleNamespace(**FULL_CACHE)),
        FileNotFoundError,
        f"The weights '{TAG}' could not be downloaded from timm/{TAG}: no network. "
        "Looked for cache/absent, cache/absent",
    ),
    (fetch_from_keras, FileNotFoundError, KERAS),
    (
        lambda: fetch_from_keras(folder="here"),
        FileNotFoundError,
        f"{KERAS} Looked for {HERE.replace(TAG, 'keras_resnet50v2.imagenet')}, here/{KERAS_FILE}",
    ),
    *[
        (
            functools.partial(prepare, metadata),
            ValueError,
            "`source` must be a tag, or a model whose metadata has the preprocessing of published "
            "weights or of `train`. Received: source=<ResNet 'mine'>",
        )
        for metadata in UNPREPARED
    ],
    (
        lambda: prepare(
            {"preprocessing": keras.saving.serialize_keras_object(rl.Preprocessing())}, test=True
        ),
        ValueError,
        "`test` must be False where `source` is a model: its tag knows the size of tests. "
        "Received: source=<ResNet 'mine'>, test=True",
    ),
]
ERRORS = [*LOADING, *SAVING, *PRETRAINED]


@pytest.mark.share(3)
@pytest.mark.parametrize("row", ERRORS, ids=ids(ERRORS))
def test_error_has_type_and_whole_text(row: Row) -> None:
    check(row)


def test_every_raise_is_in_the_table() -> None:
    assert missing(WING, ERRORS) == []
