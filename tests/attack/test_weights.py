"""Files of weights under attack: refused and nothing assigned, or loaded whole."""

import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from safetensors.numpy import save_file

import resnet_layers as rl
from resnet_layers.weights import plan
from tests.attack.figures import counted
from tests.attack.memory import cost
from tests.support.randomize import randomize, value
from tests.weights.test_reading import TINY, save_npz, tensors, tiny

pytestmark = pytest.mark.slow

ROUNDS = [pytest.param(0, 60), pytest.param(1, 1500, marks=pytest.mark.huge)]


def keras_network() -> rl.ResNet:
    return rl.ResNet.from_variant("keras_resnet50", **TINY)


def save_h5(model: rl.ResNet, path: Path, **options: Any) -> None:
    """As Keras 2 did."""
    layers: dict[str, dict[str, np.ndarray]] = {}
    for row in plan.named_tensors(model, plan.keras_dialect(model)):
        layers.setdefault(row.name.split("/")[0], {})[row.name] = row.to_source(value(row.variable))
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in layers]
        for layer, arrays in layers.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = [f"{name}:0".encode() for name in arrays]
            for name, array in arrays.items():
                group.create_dataset(f"{name}:0", data=array, **options)


def save_torch(model: rl.ResNet, path: Path, old: bool = False) -> None:
    torch = pytest.importorskip("torch")
    state = {name: torch.from_numpy(array) for name, array in tensors(model).items()}
    torch.save(state, path, _use_new_zipfile_serialization=not old)


WRITERS: dict[str, Callable[[rl.ResNet, Path], None]] = {
    "a.safetensors": lambda model, path: save_file(tensors(model), path),
    "a.npz": lambda model, path: save_npz(tensors(model), path),
    "packed.npz": lambda model, path: np.savez_compressed(path, **tensors(model)),  # type: ignore[arg-type]
    "a.h5": save_h5,
    "packed.h5": lambda model, path: save_h5(model, path, chunks=True, compression="gzip"),
    "a.pth": save_torch,
    "old.pth": lambda model, path: save_torch(model, path, old=True),
}
# These have sums of their members.
SUMMED = ("a.npz", "packed.npz", "a.pth")


def network(name: str) -> rl.ResNet:
    return keras_network() if name.endswith("h5") else tiny()


def outcome(model: rl.ResNet, path: Path, expected: list[np.ndarray]) -> str:
    """What became of loading a file into a network that has other weights than it."""
    randomize(model, seed=1)
    before = model.get_weights()
    try:
        rl.load_weights_from(model, path)
    except ValueError as error:
        same = all(np.array_equal(a, b) for a, b in zip(model.get_weights(), before, strict=True))
        named = f"'{path}'" in str(error)
        return (
            "right, refused" if same and named else f"{'not named' if same else 'in part'}: {error}"
        )
    found = model.get_weights()
    if all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True)):
        return "right, whole"
    return "other numbers" if all(np.isfinite(a).all() for a in found) else "not finite"


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize(("seed", "count"), ROUNDS)
def test_damage_is_refused_or_of_no_account(
    tmp_path: Path, name: str, seed: int, count: int
) -> None:
    """Formats without sums cannot tell a number from another one; all else is told."""
    model = randomize(network(name))
    path = tmp_path / name
    WRITERS[name](model, path)
    expected = model.get_weights()
    assert outcome(model, path, expected) == "right, whole"
    whole = path.read_bytes()
    rng = random.Random(seed)
    with counted(f"damaged {name}") as figures:
        for i in range(count):
            place, size = rng.randrange(len(whole)), rng.randrange(1, 3000)
            path.write_bytes(
                (
                    whole[:place]
                    + bytes([whole[place] ^ 1 << rng.randrange(8)])
                    + whole[place + 1 :],
                    whole[:place],
                    whole[:place] + bytes(len(whole[place : place + size])) + whole[place + size :],
                    whole[:place] + rng.randbytes(size) + whole[place + size :],
                    whole[: place // 2] + whole[place:],
                )[i % 5]
            )
            told = outcome(model, path, expected)
            if told == "other numbers" and name not in SUMMED:
                told = "right, other numbers"
            figures[told] += 1
    assert set(figures) <= {"right, refused", "right, whole", "right, other numbers"}


@pytest.mark.parametrize("name", ["a.npz", "packed.npz", "a.pth"])
def test_members_that_are_emptied_or_exchanged_are_refused(tmp_path: Path, name: str) -> None:
    model = randomize(network(name))
    path = tmp_path / name
    WRITERS[name](model, path)
    expected = model.get_weights()
    with zipfile.ZipFile(path) as archive:
        infos = {info.filename: info for info in archive.infolist()}
        parts = {key: archive.read(key) for key in infos}
    whole = path.read_bytes()
    # A pickle ends where it says, whatever comes behind.
    numbers = [key for key, one in parts.items() if len(one) > 100 and not key.endswith(".pkl")]
    rng = random.Random(0)
    with counted(f"members of {name}") as figures:
        for key in rng.sample(numbers, min(len(numbers), 12)):
            for content in (b"", parts[key][:-4], parts[key] + bytes(4)):
                with zipfile.ZipFile(path, "w", infos[key].compress_type) as archive:
                    for other, same in parts.items():
                        archive.writestr(other, content if other == key else same)
                figures[outcome(model, path, expected)] += 1
            others = [one for one in infos if len(one) == len(key) and one != key]
            if not others:
                continue
            other = rng.choice(others)
            # Its name in the list of the archive's members, which stands at the end.
            start = whole.rindex(b"PK\x05\x06")
            start = int.from_bytes(whole[start + 16 : start + 20], "little")
            a, b = key.encode(), other.encode()
            listed = whole[start:].replace(a, b"\0").replace(b, a).replace(b"\0", b)
            path.write_bytes(whole[:start] + listed)
            figures[outcome(model, path, expected)] += 1
    assert set(figures) == {"right, refused"}


def virtual(file: h5py.File, name: str, shape: Any, path: Path) -> None:
    layout = h5py.VirtualLayout(shape, "f4")
    layout[...] = h5py.VirtualSource(path, name, shape)
    file.create_virtual_dataset(name, layout)


LEADS: dict[str, Callable[[h5py.File, str, Any, Path], Any]] = {
    "soft link": lambda file, name, shape, path: file.update({name: h5py.SoftLink("/b")}),
    "external link": lambda file, name, shape, path: file.update(
        {name: h5py.ExternalLink(path, name)}
    ),
    "external data": lambda file, name, shape, path: file.create_dataset(
        name, shape, "f4", external=[(str(path), 0, 4 * int(np.prod(shape)))]
    ),
    "virtual data": virtual,
    "no data": lambda file, name, shape, path: file.create_dataset(name, shape, "f4"),
}


@pytest.mark.parametrize("lead", LEADS)
def test_hdf5_reads_no_other_file(tmp_path: Path, lead: str) -> None:
    """Wherever the data are that lead elsewhere."""
    model = randomize(keras_network())
    path, other = tmp_path / "a.h5", tmp_path / "other.h5"
    save_h5(model, other)
    expected = model.get_weights()
    names: list[str] = []
    with h5py.File(other) as file:
        file.visititems(lambda name, one: names.append(name) if hasattr(one, "shape") else None)
    with counted(lead) as figures:
        for name in random.Random(0).sample(names, 12):
            save_h5(model, path)
            with h5py.File(path, "r+") as file:
                file["b"] = file[name]
                shape = file[name].shape
                del file[name]
                LEADS[lead](file, name, shape, other)
            figures[outcome(model, path, expected)] += 1
    assert set(figures) == {"right, refused"}


def npz_with_a_long_header(path: Path) -> None:
    header = b"\x93NUMPY\x02\x00" + (2**32 - 1).to_bytes(4, "little")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", header + b" " * 1_000_000_000)


def npz_of_many(path: Path) -> None:
    """A tensor of the right name, with more numbers than there are."""
    with zipfile.ZipFile(path, "w") as archive, archive.open("conv1.weight.npy", "w") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f4", "fortran_order": False, "shape": (2**30, 3, 7, 7)}
        )


def safetensors_with_a_long_header(path: Path) -> None:
    path.write_bytes((2**32).to_bytes(8, "little") + b"{" * 1000)


def h5_of_many_classes(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for kind in ("conv2d", "batch_normalization"):
            for i in range(53):
                file[f"layers/{kind}_{i}/vars/0" if i else f"layers/{kind}/vars/0"] = np.zeros(
                    (7, 7, 3, 64)
                )
        dataset = file.create_dataset(
            "layers/dense/vars/0", (2048, 10**7), "f4", chunks=(2048, 10**4), compression="gzip"
        )
        dataset[:, : 10**4] = 0


CLAIMS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "a long header": ("a.npz", npz_with_a_long_header),
    "many numbers": ("a.npz", npz_of_many),
    "a long JSON": ("a.safetensors", safetensors_with_a_long_header),
    "many classes": ("a.weights.h5", h5_of_many_classes),
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_files_that_claim_much_cost_little(tmp_path: Path, claim: str) -> None:
    name, write = CLAIMS[claim]
    path = tmp_path / name
    write(path)
    model = tiny()
    found = cost(lambda: outcome(model, path, []))
    assert found.result == "right, refused"
    assert found.seconds < 3
    assert found.memory < 2**28
