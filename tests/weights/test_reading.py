"""Weight files: every format that is read, and what becomes of files that are not what they say."""

import contextlib
import functools
import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

import resnet_layers as rl
from resnet_layers.weights import loading, plan
from tests.support.randomize import images, randomize, relative_difference, value

TINY: dict[str, Any] = {"blocks": (1, 1), "filters": (4, 8), "stem": {"filters": 4}, "classes": 3}


@functools.cache
def _tiny(seed: int) -> rl.ResNet:
    return rl.ResNet.from_variant("resnet18", **TINY)


def tiny(seed: int = 0) -> rl.ResNet:
    """A small network of timm's names, with random variables.

    The same one for each seed, with these values again, since most tests load or refuse a file.
    """
    return randomize(_tiny(seed), seed)


def tensors(model: rl.ResNet) -> dict[str, np.ndarray]:
    """Its weights in torch's names and layout, counters included."""
    rows = plan.named_tensors(model, plan.torch_dialect(model))
    return {
        row.name: np.zeros((), "int64")
        if row.variable is None
        else row.to_source(value(row.variable))
        for row in rows
    }


def assert_untouched(model: rl.ResNet, before: list[np.ndarray]) -> None:
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def refused(source: Any, kind: type[Exception] = ValueError) -> str:
    """The error of loading a source, which changes nothing."""
    model = tiny()
    before = model.get_weights()
    with pytest.raises(kind) as caught:
        rl.load_weights_from(model, source)
    assert type(caught.value) is kind
    assert_untouched(model, before)
    return str(caught.value)


def save_npz(arrays: dict[str, np.ndarray], path: Path) -> None:
    np.savez(path, **arrays)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ending", "dtype"),
    [
        *(("safetensors", dtype) for dtype in ("float32", "float64", "float16", "bfloat16")),
        *(("npz", dtype) for dtype in ("float32", "float64", "float16")),  # it has no bfloat16
    ],
)
def test_floats_of_every_size_are_read(ending: str, dtype: str, tmp_path: Path) -> None:
    stored = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
    model, other = tiny(), tiny(seed=1)
    arrays = {name: array.astype(stored) for name, array in tensors(model).items() if array.ndim}
    path = tmp_path / f"weights.{ending}"
    (save_file if ending == "safetensors" else save_npz)(arrays, path)
    rl.load_weights_from(other, path)
    for name, array in tensors(other).items():
        if array.ndim:
            np.testing.assert_array_equal(array, arrays[name].astype("float32"))


@pytest.mark.parametrize("where", ["mapping", "safetensors", "npz"])
def test_negative_variances_are_named_whatever_the_source(where: str, tmp_path: Path) -> None:
    """They would give NaN at the first call."""
    arrays = {name: array for name, array in tensors(tiny()).items() if array.ndim}
    variances = [name for name in arrays if name.endswith("running_var")]
    assert len(variances) == 6  # the stem's, two of the first block, two and the shortcut's
    for names in (*([name] for name in variances), variances):
        wrong = dict(arrays)
        for name in names:
            wrong[name] = arrays[name].copy()
            wrong[name][-1] = -1e-3
        source: Any = wrong
        if where != "mapping":
            source = tmp_path / f"weights.{where}"
            (save_npz if where == "npz" else save_file)(wrong, source)
        assert refused(source).endswith(f"where these are: {', '.join(names)}")


def test_float64_arrives_as_float64() -> None:
    model = rl.ResNet.from_variant("resnet18", **TINY, dtype="float64")
    rng = np.random.default_rng(0)
    arrays = {
        name: rng.uniform(0.5, 1.5, array.shape)
        for name, array in tensors(tiny()).items()
        if array.ndim
    }
    rl.load_weights_from(model, arrays)
    rows = plan.named_tensors(model, plan.torch_dialect(model))
    for row in rows:
        if row.variable is not None:
            np.testing.assert_array_equal(row.to_source(value(row.variable)), arrays[row.name])


def test_reading_safetensors_needs_no_torch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    model = tiny()
    rl.save_torch_weights(model, tmp_path / "weights.safetensors")
    rl.load_weights_from(tiny(), tmp_path / "weights.safetensors")


def test_mappings_of_arrays_and_of_variables_are_read() -> None:
    model = tiny()
    for convert in (np.asarray, keras.Variable, keras.ops.convert_to_tensor):
        other = tiny(seed=1)
        rl.load_weights_from(other, {k: convert(v) for k, v in tensors(model).items() if v.ndim})
        assert_untouched(other, model.get_weights())


@pytest.mark.parametrize("wrapper", [(), ("state_dict",), ("model",)])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_what_training_scripts_put_around_is_taken_away(
    wrapper: tuple[str, ...], prefix: str
) -> None:
    model, other = tiny(), tiny(seed=1)
    source: Any = {prefix + name: array for name, array in tensors(model).items()}
    for name in wrapper:
        source = {name: source, "epoch": 3, "optimizer": {"lr": 0.1}}
    rl.load_weights_from(other, source)
    assert_untouched(other, model.get_weights())


@pytest.mark.parametrize(
    "change",
    [
        np.asfortranarray,
        lambda array: array.astype(array.dtype.newbyteorder(">")),
        lambda array: np.repeat(array, 2, axis=0)[::2] if array.ndim else array,
    ],
    ids=["fortran", "big-endian", "strided"],
)
def test_order_of_bytes_and_of_axes_in_memory_does_not_matter(change: Any, tmp_path: Path) -> None:
    model, path = tiny(), tmp_path / "weights.npz"
    arrays = {name: change(array) for name, array in tensors(model).items()}
    save_npz(arrays, path)
    for source in (arrays, path):
        other = tiny(seed=1)
        rl.load_weights_from(other, source)
        assert_untouched(other, model.get_weights())


@pytest.mark.share(6)
def test_model_shares_no_memory_with_its_source(tmp_path: Path) -> None:
    # The kernels of one pixel and of one channel are those that need no transposition.
    make = functools.partial(rl.ResNet.from_variant, "resnet50", **{**TINY, "filters": (1, 2)})
    model, path = randomize(make()), tmp_path / "weights.safetensors"
    arrays = {name: array.copy() for name, array in tensors(model).items()}
    save_file(arrays, path)
    others = [make(), make()]
    rl.load_weights_from(others[0], arrays)
    rl.load_weights_from(others[1], path)
    for array in arrays.values():
        array[...] = 7
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
    for other in others:
        assert_untouched(other, model.get_weights())


def test_what_is_assigned_shares_no_memory_on_any_backend() -> None:
    """TensorFlow copies what is assigned; others may take the memory of an array as it is."""
    model = randomize(rl.ResNet.from_variant("resnet50", **{**TINY, "filters": (1, 2)}))
    arrays = tensors(model)
    for row in plan.named_tensors(model, plan.torch_dialect(model)):
        if row.variable is not None:
            array = arrays[row.name]
            assert array.dtype == "float32"
            assert not np.shares_memory(np.asarray(loading._value(row, array)), array)


def test_prefix_on_some_names_alone_is_a_name() -> None:
    source = tensors(tiny())
    source["module.fc.bias"] = source.pop("fc.bias")
    message = refused(source)
    assert " - fc.bias (3,)" in message
    assert " + module.fc.bias" in message


# --- keras.applications --------------------------------------------------------------------------

KERAS = {
    "keras_resnet50": keras.applications.ResNet50,
    "keras_resnet50v2": keras.applications.ResNet50V2,
    "keras_resnet101": keras.applications.ResNet101,
    "keras_resnet152v2": keras.applications.ResNet152V2,
}


@functools.cache
def _keras_original(name: str, include_top: bool) -> keras.Model:
    arguments = {"include_top": include_top, "weights": None, "input_shape": (64, 64, 3)}
    return KERAS[name](**arguments, classes=7, classifier_activation=None)


def keras_original(name: str, include_top: bool = True) -> keras.Model:
    """One network for each name, with the same values again."""
    return randomize(_keras_original(name, include_top))


@pytest.mark.share(3)
@pytest.mark.parametrize(
    "name",
    [
        "keras_resnet50",
        pytest.param("keras_resnet50v2", marks=pytest.mark.slow),
        *(
            pytest.param(name, marks=[pytest.mark.slow, pytest.mark.huge])
            for name in ("keras_resnet101", "keras_resnet152v2")
        ),
    ],
)
def test_models_and_files_of_keras_applications_are_read(name: str, tmp_path: Path) -> None:
    original = keras_original(name)
    x = images(2, 64, 64, 3)
    expected = value(original(x))
    new, old = tmp_path / "new.weights.h5", tmp_path / "old.h5"
    original.save_weights(new)
    with h5py.File(old, "w") as file:
        write_legacy(file, original)
    whole = tmp_path / "whole.h5"
    with h5py.File(whole, "w") as file:
        write_legacy(file.create_group("model_weights"), original)
    model = rl.ResNet.from_variant(name, classes=7)
    for source in (original, new, old, whole):
        randomize(model, seed=1)
        rl.load_weights_from(model, source)
        assert relative_difference(model(x), expected) < 1e-4
    prepare = rl.preprocessing(model)
    photos = np.random.default_rng(0).integers(0, 256, (1, 256, 256, 3)).astype("float32")
    module = keras.applications.resnet_v2 if "v2" in name else keras.applications.resnet
    ours = value(prepare(photos))
    theirs = module.preprocess_input(photos.copy())[:, 16:240, 16:240]
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


def write_legacy(group: Any, model: keras.Model) -> None:
    """As Keras wrote the files that keras.applications downloads."""
    group.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
    for layer in model.layers:
        inner = group.create_group(layer.name)
        names = [f"{layer.name}/{variable.name}:0" for variable in layer.weights]
        inner.attrs["weight_names"] = [name.encode() for name in names]
        for name, variable in zip(names, layer.weights, strict=True):
            inner[name] = value(variable)


@pytest.mark.slow
@pytest.mark.share(2)
def test_keras_network_without_its_top_is_read_for_a_new_head(tmp_path: Path) -> None:
    original = keras_original("keras_resnet50", include_top=False)
    model = rl.ResNet.from_variant("keras_resnet50", classes=2)
    original.save_weights(tmp_path / "a.weights.h5")
    x = images(1, 64, 64, 3)
    expected = value(original(x))
    for source in (original, tmp_path / "a.weights.h5"):
        randomize(model, seed=1)
        rl.load_weights_from(model, source, skip=["head"])
        assert relative_difference(model.features(x)["stage4"], expected) < 1e-4


# --- torch ---------------------------------------------------------------------------------------


def test_files_of_torch_are_read(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    model = tiny()
    state = {name: torch.from_numpy(array) for name, array in tensors(model).items()}
    wrapped = {"state_dict": {f"module.{name}": t for name, t in state.items()}, "epoch": 3}
    for i, saved in enumerate((state, wrapped)):
        for old in (False, True):
            path = tmp_path / f"{i}{old}.pth"
            torch.save(saved, path, _use_new_zipfile_serialization=not old)
            other = tiny(seed=1)
            rl.load_weights_from(other, path)
            assert_untouched(other, model.get_weights())


def test_tensors_of_torch_are_read_whatever_their_state(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    model = tiny()
    arrays = {name: array for name, array in tensors(model).items() if array.ndim}
    short = {name: array.astype(ml_dtypes.bfloat16) for name, array in arrays.items()}
    state: dict[str, dict[str, Any]] = {
        "parameters": {k: torch.nn.Parameter(torch.from_numpy(v)) for k, v in arrays.items()},
        "strided": {k: torch.from_numpy(v.T.copy()).T for k, v in arrays.items() if v.ndim == 2},
        "double": {k: torch.from_numpy(v).double() for k, v in arrays.items()},
        "bfloat16": {k: torch.from_numpy(v).bfloat16() for k, v in arrays.items()},
    }
    state["strided"] = {**state["parameters"], **state["strided"]}
    path = tmp_path / "weights.pt"
    for kind, tensors_of_torch in state.items():
        torch.save(tensors_of_torch, path)
        for source in (tensors_of_torch, path):
            other = tiny(seed=1)
            rl.load_weights_from(other, source)
            found = tensors(other)
            for name, array in (short if kind == "bfloat16" else arrays).items():
                np.testing.assert_array_equal(found[name], array.astype("float32"))


def test_damaged_files_of_torch_are_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "weights.pth"
    beginning = f"{UNREADABLE}'{path}', which cannot be read: "
    for old in (False, True):
        state = {name: torch.from_numpy(array) for name, array in tensors(tiny()).items()}
        torch.save(state, path, _use_new_zipfile_serialization=not old)
        content = path.read_bytes()
        for share in (0, 0.001, 0.3, 0.99):
            path.write_bytes(content[: int(share * len(content))])
            assert refused(path).startswith(beginning)
    path.write_bytes(b"<!DOCTYPE html><html>404: not found</html>" * 100)
    assert refused(path).startswith(beginning)
    torch.save(state, path)
    with zipfile.ZipFile(path, "a") as archive:
        name = archive.namelist()[0]
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr(name, archive.read(name))
    assert refused(path) == f"{beginning}names stand there twice: {name}"


def test_dtypes_of_torch_that_are_no_floats_are_refused() -> None:
    torch = pytest.importorskip("torch")
    source = {name: torch.from_numpy(array) for name, array in tensors(tiny()).items()}
    source["fc.bias"] = source["fc.bias"].int()
    assert " ! fc.bias: has int32, needs floating point" in refused(source)


def test_pickle_that_would_run_code_is_refused_and_runs_none(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    witness, path = tmp_path / "it-ran", tmp_path / "weights.pth"

    class Malicious:
        def __reduce__(self) -> Any:
            return (Path.touch, (witness,))

    torch.save({"conv1.weight": Malicious()}, path)
    assert refused(path) == (
        "`source` must be a whole file of the kind that its ending says. "
        f"Received: source='{path}', which cannot be read: torch refuses it in weights-only mode, "
        "which runs no code of a file"
    )
    path.write_bytes(pickle.dumps(Malicious()))
    refused(path)
    assert not witness.exists()
    torch.save([torch.zeros(2)], path)
    assert refused(path) == (
        f"{UNREADABLE}'{path}', which cannot be read: it holds a <class 'list'> and no mapping"
    )


# --- files that are not what they say ------------------------------------------------------------

UNREADABLE = "`source` must be a whole file of the kind that its ending says. Received: source="


@pytest.mark.parametrize("ending", ["safetensors", "npz", "h5"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.99])
def test_truncated_file_is_refused(ending: str, share: float, tmp_path: Path) -> None:
    path = tmp_path / f"weights.{ending}"
    if ending == "h5":
        with h5py.File(path, "w") as file:
            write_legacy(file, keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]))
    else:
        arrays = tensors(tiny())
        (save_file if ending == "safetensors" else save_npz)(arrays, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert refused(path).startswith(f"{UNREADABLE}'{path}', which cannot be read: ")


@pytest.mark.parametrize("ending", ["safetensors", "npz", "h5"])
def test_foreign_file_is_refused(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights.{ending}"
    path.write_bytes(b"<!DOCTYPE html><html>404: not found</html>" * 100)
    assert refused(path).startswith(f"{UNREADABLE}'{path}', which cannot be read: ")


@pytest.mark.parametrize("ending", ["safetensors", "npz", "h5"])
@pytest.mark.parametrize("content", ["safetensors", "npz", "h5"])
def test_file_with_the_ending_of_another_kind_is_refused(
    ending: str, content: str, tmp_path: Path
) -> None:
    path = tmp_path / f"weights.{content}"
    if content == "h5":
        h5py.File(path, "w").close()
    else:
        (save_file if content == "safetensors" else save_npz)(tensors(tiny()), path)
    renamed = path.rename(tmp_path / f"renamed.{ending}")
    if ending != content:
        assert refused(renamed).startswith(f"{UNREADABLE}'{renamed}', which cannot be read: ")
    elif ending != "h5":
        rl.load_weights_from(tiny(), renamed)


def test_ending_in_capitals_is_the_same(tmp_path: Path) -> None:
    save_file(tensors(tiny()), tmp_path / "WEIGHTS.SAFETENSORS")
    rl.load_weights_from(tiny(), tmp_path / "WEIGHTS.SAFETENSORS")


@pytest.mark.share(6)
def test_renamed_file_of_keras_3_is_refused(tmp_path: Path) -> None:
    saved, path = tmp_path / "a.weights.h5", tmp_path / "renamed.h5"
    keras_original("keras_resnet50").save_weights(saved)
    saved.rename(path)
    assert refused(path) == (
        f"{UNREADABLE}'{path}', which cannot be read: Keras 3 reads its weights from files that "
        "end in .weights.h5 alone"
    )


def test_damage_inside_of_an_array_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    model = rl.ResNet.from_variant("resnet18", **{**TINY, "filters": (4, 40)})
    arrays = tensors(model)
    save_npz(arrays, path)
    content = bytearray(path.read_bytes())
    name = "layer2.0.conv2.weight"
    content[content.index(arrays[name].tobytes()) + 30_000] ^= 255  # a zip has checksums
    path.write_bytes(content)
    before = model.get_weights()
    with pytest.raises(ValueError, match="must be readable") as caught:
        rl.load_weights_from(model, path)
    assert str(caught.value) == (
        f"The tensors of `source` must be readable. Received: source='{path}', where {name} is "
        f"not: Bad CRC-32 for file '{name}.npy'"
    )
    assert_untouched(model, before)


@pytest.mark.parametrize(
    ("header", "size"),
    [
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, 4),
        ({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, 4),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, 3),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, 5),
        ({k: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for k in "ab"}, 4),
        ([], 0),
    ],
)
def test_header_that_does_not_fit_its_data_is_refused(
    header: Any, size: int, tmp_path: Path
) -> None:
    path = tmp_path / "weights.safetensors"
    content = json.dumps(header).encode()
    path.write_bytes(len(content).to_bytes(8, "little") + content + bytes(size))
    assert refused(path).startswith(f"{UNREADABLE}'{path}', which cannot be read: ")
    path.write_bytes((2**63).to_bytes(8, "little") + content)
    assert refused(path).startswith(f"{UNREADABLE}'{path}', which cannot be read: ")


@pytest.mark.parametrize("name", ["fc.bias.npy", "fc.bias"])
def test_duplicate_names_in_npz_are_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    save_npz(tensors(tiny()), path)
    with zipfile.ZipFile(path, "a") as archive:
        content = archive.read("fc.bias.npy")
        with contextlib.nullcontext() if name == "fc.bias" else pytest.warns(match="Duplicate"):
            archive.writestr(name, content)
    assert refused(path) == (
        f"{UNREADABLE}'{path}', which cannot be read: names stand there twice: fc.bias"
    )


def test_pickled_objects_in_npz_are_refused_and_run_no_code(tmp_path: Path) -> None:
    witness, path = tmp_path / "it-ran", tmp_path / "weights.npz"

    class Malicious:
        def __reduce__(self) -> Any:
            return (Path.touch, (witness,))

    arrays = {**tensors(tiny()), "fc.bias": np.array([Malicious()] * 3, object)}
    np.savez(path, **arrays)  # type: ignore[arg-type]
    assert " ! fc.bias: has object, needs floating point" in refused(path)
    assert not witness.exists()


def test_what_is_too_large_for_half_precision_is_refused() -> None:
    model = rl.ResNet.from_variant("resnet18", dtype="float16", **TINY)
    before, source = model.get_weights(), tensors(tiny())
    source["bn1.running_var"] += 1e5
    with pytest.raises(ValueError, match=r"these are not: bn1\.running_var$"):
        rl.load_weights_from(model, source)
    assert_untouched(model, before)


@pytest.mark.parametrize(
    ("dtype", "called"),
    [(np.int32, "I32"), (np.bool_, "BOOL"), (ml_dtypes.float8_e4m3fn, "F8_E4M3")],
)
def test_dtypes_in_a_file_that_are_no_floats_are_refused(
    dtype: Any, called: str, tmp_path: Path
) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({**tensors(tiny()), "fc.bias": np.zeros(3, dtype)}, path)
    assert f" ! fc.bias: has {called}, needs floating point" in refused(path)


@pytest.mark.parametrize("dtype", ["int32", "int8", "bool", "complex64"])
def test_dtypes_that_are_no_floats_are_refused(dtype: str) -> None:
    source = tensors(tiny())
    source["fc.bias"] = source["fc.bias"].astype(dtype)
    assert f" ! fc.bias: has {dtype}, needs floating point" in refused(source)


@pytest.mark.slow
@pytest.mark.share(2)
@pytest.mark.upstream
def test_hdf5_reads_a_text_without_length_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.attrs["a"] = ["some", "texts"]
    content = path.read_bytes()
    start = content.index(b"GCOL") + 16
    path.write_bytes(content[:start] + bytes(100) + content[start + 100 :])
    script = (
        f"import h5py; file = h5py.File({str(path)!r}); print('open', flush=True); file.attrs['a']"
    )
    command = [sys.executable, "-c", script]
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        subprocess.run(command, capture_output=True, timeout=8, check=False)
    assert caught.value.stdout == b"open\n"
