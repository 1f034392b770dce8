"""Digests: nothing in an artifact can change, be missing or be another's without being named."""

import random
import shutil
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pytest

import resnet_layers as rl
from resnet_layers.serving import formats, seal
from tests.serving.test_export import ENDINGS, every_format, needs
from tests.support.randomize import images

GOLDEN = Path(__file__).parents[1] / "golden" / "artifacts"
FOLDER = ["saved_model.pb", "variables/variables.index", seal.DESCRIPTION]


def artifact(folder: Path, row: formats.Format, seed: int = 0) -> list[Path]:
    """Files of noise with the digests of a format, and no network."""
    rng = random.Random(seed)
    files = row.files(folder / f"model{row.endings[0]}")
    contents = [files[0] / name for name in FOLDER] if row.endings == ("",) else files
    for file in contents:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(rng.randbytes(60) + (row.ending if file is files[0] else b""))
    row.close(files[0])
    return files


def parts(files: list[Path]) -> list[Path]:
    found = [path for file in files for path in (file, *file.rglob("*"))]
    return sorted(path for path in found if path.is_file())


def is_whole(files: list[Path], row: formats.Format) -> bool:
    try:
        return seal.is_closed(files, row.ending)
    except ValueError:
        return False


@every_format
def test_every_bit_counts(tmp_path: Path, format: str) -> None:
    row = formats.FORMATS[format]
    files = artifact(tmp_path, row)
    assert seal.is_closed(files, row.ending)
    for part in parts(files):
        content = part.read_bytes()
        for place in range(len(content)):
            changed = bytearray(content)
            changed[place] ^= 1 << place % 8
            part.write_bytes(changed)
            assert not is_whole(files, row), (part, place)
        for length in (0, 1, len(content) // 2, len(content) - 1):
            part.write_bytes(content[:length])
            assert not is_whole(files, row)
        part.write_bytes(content + b"\0")
        assert not is_whole(files, row)
        part.write_bytes(content)
    assert seal.is_closed(files, row.ending)


@every_format
def test_parts_of_others_and_missing_parts_are_named(tmp_path: Path, format: str) -> None:
    row = formats.FORMATS[format]
    (tmp_path / "other").mkdir()
    mine, others = artifact(tmp_path, row), artifact(tmp_path / "other", row, seed=1)
    for part, other in zip(parts(mine), parts(others), strict=True):
        content = part.read_bytes()
        if len(parts(mine)) > 1:  # the only part of another artifact is that artifact
            shutil.copy(other, part)
            with pytest.raises(ValueError, match=r"its part '[\w./]+' is not what `export` has"):
                seal.is_closed(mine, row.ending)
        part.unlink()
        if part.name != Path(seal.MANIFEST).name:
            with pytest.raises(ValueError, match=f"'[\\w./]*{part.name}' is missing"):
                seal.is_closed(mine, row.ending)
        part.write_bytes(content)
    assert seal.is_closed(mine, row.ending)


def test_a_folder_may_have_what_others_need_beside_the_description(tmp_path: Path) -> None:
    row = formats.FORMATS["tf_saved_model"]
    (folder,) = artifact(tmp_path, row)
    (folder / seal.EXTRA / "tf_serving_warmup_requests").touch()
    assert seal.is_closed([folder], row.ending)
    (folder / "saved_model.pbtxt").touch()
    with pytest.raises(ValueError, match=r"'saved_model\.pbtxt' in it is none of its parts"):
        seal.is_closed([folder], row.ending)


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="there is no sha256sum")
def test_digests_of_a_folder_are_those_of_the_system(tmp_path: Path) -> None:
    (folder,) = artifact(tmp_path, formats.FORMATS["tf_saved_model"])
    command = ["sha256sum", "--strict", "--check", seal.MANIFEST]
    assert subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0


@every_format
def test_artifacts_of_the_first_format_open_with_a_warning(tmp_path: Path, format: str) -> None:
    needs(format)
    path = GOLDEN / f"format_1{ENDINGS[format]}"
    with pytest.warns(UserWarning, match="damage cannot be told") as caught:
        artifact = rl.load_exported(path)
    assert str(caught[0].message) == (
        f"'{path}' is of a version of `export` without digests, so damage cannot be told: export "
        "it again"
    )
    expected = [[1.5280321, -0.19643], [0.15882859, -0.19881876]]
    np.testing.assert_allclose(artifact(images(2, 16, 16, 3)), expected, rtol=1e-4)
    assert artifact.metadata["class_names"] == ["cat", "dog"]


@pytest.mark.parametrize(
    "format",
    [pytest.param(f, marks=() if f == "onnx" else pytest.mark.slow) for f in ENDINGS],
)
def test_what_export_writes_opens_without_a_warning(tmp_path: Path, format: str) -> None:
    needs(format)
    model = rl.ResNet(rl.Stem(2, kernel_size=3), [rl.ResNetStage(2, 1)], rl.ClassifierHead(2))
    path = rl.export(model, tmp_path / f"model{ENDINGS[format]}", format=format).path
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rl.load_exported(path)
    row = formats.FORMATS[format]
    assert seal.is_closed(row.files(path), row.ending)
