"""Artifacts under attack: bits, lengths, parts, descriptions and programs of somebody else."""

import json
import random
import re
import shutil
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

import resnet_layers as rl
from resnet_layers.serving import formats, seal
from tests.attack.figures import counted
from tests.serving.test_export import ENDINGS, every_format, needs, network
from tests.support.randomize import images

pytestmark = pytest.mark.slow

# Seeds and how many of each: a share, and all of it.
ROUNDS = [pytest.param(0, 60), pytest.param(1, 1000, marks=pytest.mark.huge)]


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Two artifacts of each format, which are never changed."""
    made: dict[str, list[Path]] = {}
    for seed in (0, 1):
        model = network(metadata={"class_names": [f"{seed}{name}" for name in "abcde"]})
        model.head.dense.bias.assign([float(seed)] * 5)  # type: ignore[union-attr]
        folder = tmp_path_factory.mktemp("artifacts")
        for name, ending in ENDINGS.items():
            needs(name)
            rl.export(model, folder / f"model{ending}", format=name)
            made.setdefault(name, []).append(folder / f"model{ending}")
    return made


def copied(path: Path, format: str, folder: Path) -> list[Path]:
    """All files of a copy, its first one first."""
    row = formats.FORMATS[format]
    for file in row.files(path):
        target = folder / file.name
        shutil.copytree(file, target) if file.is_dir() else shutil.copy(file, target)
    files = row.files(folder / path.name)
    return files if files[0].is_file() else [f for f in sorted(files[0].rglob("*")) if f.is_file()]


def outcome(path: Path) -> str:
    """`right` if it is refused by its name, without a word of anything else."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            rl.load_exported(path)
    except ValueError as error:
        return "right" if str(error).startswith(f"'{path}' cannot be opened: ") else str(error)
    return "opened"


@every_format
@pytest.mark.parametrize(("seed", "count"), ROUNDS)
def test_no_bit_of_an_artifact_can_change(
    artifacts: dict[str, list[Path]], tmp_path: Path, format: str, seed: int, count: int
) -> None:
    source = artifacts[format][0]
    files = copied(source, format, tmp_path)
    path = tmp_path / source.name
    rng = random.Random(seed)
    with counted(f"bits of {format}") as figures:
        for _ in range(count):
            file = rng.choice(files)
            content = file.read_bytes()
            changed = bytearray(content)
            changed[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
            file.write_bytes(changed)
            figures[outcome(path)] += 1
            file.write_bytes(content)
    assert set(figures) == {"right"}
    rl.load_exported(path)


@every_format
@pytest.mark.parametrize(("seed", "count"), ROUNDS)
def test_no_part_of_an_artifact_can_be_cut_filled_or_exchanged(
    artifacts: dict[str, list[Path]], tmp_path: Path, format: str, seed: int, count: int
) -> None:
    source, other = artifacts[format]
    files = copied(source, format, tmp_path)
    path = tmp_path / source.name
    rng = random.Random(seed)
    with counted(f"parts of {format}") as figures:
        for i in range(count // 3):
            file = rng.choice(files)
            content = file.read_bytes()
            theirs = (other.parent / file.relative_to(tmp_path)).read_bytes()
            place = rng.randrange(len(content))
            size = rng.randrange(1, 5000)
            changed = (
                content[:place],
                content + rng.randbytes(size),
                content[:place]
                + bytes(len(content[place : place + size]))
                + content[place + size :],
                content[:place] + theirs[place : place + size] + content[place + size :],
                theirs if len(files) > 1 else b"",
                None,
            )[i % 6]
            if changed == content:
                continue
            file.unlink() if changed is None else file.write_bytes(changed)
            told = outcome(path)
            if told.startswith("There is no file") and not path.exists():
                told = "right"
            figures[told] += 1
            file.write_bytes(content)
    assert set(figures) == {"right"}


@every_format
def test_a_description_of_somebody_else_is_checked(
    artifacts: dict[str, list[Path]], tmp_path: Path, format: str
) -> None:
    """The bytes fit their digests: whoever writes a file can compute them."""
    row = formats.FORMATS[format]
    source = artifacts[format][0]
    copied(source, format, tmp_path)
    path = tmp_path / source.name
    main = path / seal.DESCRIPTION if path.is_dir() else path
    original = main.read_bytes()
    rng = random.Random(0)
    values: list[Any] = [None, True, 5, -1, "x", [], [None], {}, [[1]], 1e300, "é\x1b[2J"]
    with counted(f"descriptions in {format}") as figures:
        for name in (
            "precision",
            "input_shape",
            "output_shape",
            "metadata",
            "activation",
            "pixels",
        ):
            for value in rng.sample(values, 6):
                changed = _with(original, name, value)
                if changed is None:
                    continue
                main.write_bytes(changed)
                _seal_anew(row, path)
                try:
                    found = vars(rl.load_exported(path))[name]
                    # A few values are those of their field.
                    figures["right" if _same(found, value) else f"{name}={found}"] += 1
                except ValueError as error:
                    told = str(error).startswith(f"'{path}' cannot be opened: ")
                    figures["right" if told else str(error)] += 1
    assert set(figures) == {"right"}


def _same(found: Any, value: Any) -> bool:
    return bool((list(found) if isinstance(found, tuple) else found) == value)


def _with(content: bytes, name: str, value: Any) -> bytes | None:
    """The bytes with another value in their description, if that has the same length."""
    found = re.search(rb"\{(?:\"|&quot;)format(?:\"|&quot;): 2.*(?:false|true)\}", content)
    assert found
    quoted = b"&quot;" in found[0]
    said = json.loads(found[0].replace(b"&quot;", b'"'))
    text = json.dumps({**said, name: value}).encode()
    if quoted:
        text = text.replace(b"&", b"&amp;").replace(b'"', b"&quot;").replace(b"\x1b", b"")
    text = text.ljust(len(found[0]))
    if len(text) != len(found[0]):  # lengths stand elsewhere in the file
        return None
    return content.replace(found[0], text)


def _seal_anew(row: formats.Format, path: Path) -> None:
    """New digests; the sum of a member of LiteRT's archive stays what it was."""
    if path.is_file():
        content = bytearray(path.read_bytes())
        content[len(content) - len(row.ending) :] = row.ending
        path.write_bytes(content)
    row.close(path)


def test_time_until_a_damaged_artifact_is_refused_is_that_of_reading_it(tmp_path: Path) -> None:
    row = formats.FORMATS["onnx"]
    path = tmp_path / "model.onnx"
    path.write_bytes(bytes(300_000_000) + row.ending)
    row.close(path)
    with path.open("r+b") as file:
        file.seek(-1000, 2)
        file.write(b"x")
    start = time.perf_counter()
    assert outcome(path) == "right"
    assert time.perf_counter() - start < 10  # of a disk and a processor that others use, too
    with pytest.raises(ValueError, match=r"'model\.onnx' is not what `export` has written"):
        rl.load_exported(path)


def test_networks_that_are_attacked_answer(artifacts: dict[str, list[Path]]) -> None:
    answers = [rl.load_exported(path)(images(2, 32, 32, 3)) for path, _ in artifacts.values()]
    for answer in answers:
        assert abs(answer - answers[0]).max() < 1e-3 * abs(answers[0]).max()
