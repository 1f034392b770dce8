"""Files for torch: names, layout and bits."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

import resnet_layers as rl
from tests.package.test_files import can_kill_at_calls
from tests.support.randomize import images, randomize, relative_difference, value
from tests.weights.test_reading import TINY, assert_untouched, tensors, tiny

# One of each kind, made small.
KINDS: dict[str, dict[str, Any]] = {
    "resnet18": {},
    "resnet50": {},
    "resnext50_32x4d": {"groups": 2, "group_width": 2},
    "resnet50t": {"stem": {"filters": 4, "hidden_filters": (2, 3)}},
    "seresnet50": {},
    "ecaresnet50d": {},
    "resnetrs50": {},
    "resnetblur18": {},
    "resnet50_gn": {},
    "senet154": {"groups": 2, "group_width": 2},
    "ecaresnet50d_pruned": {"widths": (((3, 4, 14),), ((5, 6, 27),))},
    "resnetv2_18d": {},
    "resnetv2_50x1_bit": {},
    "resnetv2_50d_evos": {},
    "resnetv2_50d_frn": {},
    "r3d_18": {},
    "mc3_18": {"kernel_size": (3, (1, 3, 3)), "strides": (1, (1, 2, 2))},
    "r2plus1d_18": {"widths": None, "stem": {"filters": 4, "hidden_filters": (3,)}},
}


def make(variant: str, seed: int) -> rl.ResNet:
    return randomize(rl.ResNet.from_variant(variant, **{**TINY, **KINDS[variant]}), seed)


@pytest.mark.share(8)
@pytest.mark.parametrize("variant", KINDS)
def test_round_trip_is_equal_bit_for_bit(variant: str, tmp_path: Path) -> None:
    model, path = make(variant, seed=0), tmp_path / "weights.safetensors"
    rl.save_torch_weights(model, path)
    other = make(variant, seed=1)
    rl.load_weights_from(other, path)
    assert_untouched(other, model.get_weights())
    again = tmp_path / "again.safetensors"
    rl.save_torch_weights(other, again)
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("kind", ["blur", "average"])
def test_smoothed_pooling_convolution_has_the_names_of_timm(kind: str, tmp_path: Path) -> None:
    model = randomize(rl.ResNet.from_variant("resnetrs50", **TINY, anti_aliasing=kind))
    rl.save_torch_weights(model, tmp_path / "weights.safetensors")
    found = load_file(tmp_path / "weights.safetensors")
    assert {name.rpartition(".")[0] for name in found if "maxpool" in name} == {
        "maxpool.0",
        "maxpool.2",  # the smoothing is 1
    }
    rl.load_weights_from(other := randomize(model.replace(), seed=1), found)
    assert_untouched(other, model.get_weights())


def test_file_is_what_torch_expects(tmp_path: Path) -> None:
    model, path = tiny(), tmp_path / "weights.safetensors"
    rl.save_torch_weights(model, str(path))
    found, expected = load_file(path), tensors(model)
    assert set(found) == set(expected)
    for name, array in found.items():
        np.testing.assert_array_equal(array, expected[name])
        assert array.dtype == ("int64" if name.endswith("num_batches_tracked") else "float32")
    with safe_open(path, "numpy") as file:
        assert file.metadata() == {"format": "pt"}
    kernel = value(model.stem.conv.convolution.kernel)
    np.testing.assert_array_equal(found["conv1.weight"], kernel.transpose(3, 2, 0, 1))
    head: Any = model.head
    np.testing.assert_array_equal(found["fc.weight"], value(head.dense.kernel).T)


def test_mixed_precision_is_written_as_float32(tmp_path: Path) -> None:
    model = randomize(rl.ResNet.from_variant("resnet18", dtype="mixed_bfloat16", **TINY))
    rl.save_torch_weights(model, tmp_path / "weights.safetensors")
    kinds = {str(array.dtype) for array in load_file(tmp_path / "weights.safetensors").values()}
    assert kinds == {"float32", "int64"}


def test_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "any").touch()
    rl.save_torch_weights(tiny(), tmp_path / "weights.safetensors")
    modes = {file.stat().st_mode for file in tmp_path.iterdir()}
    assert len(modes) == 1


def test_interrupted_writing_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights.safetensors"
    rl.save_torch_weights(tiny(), path)
    before = path.read_bytes()

    write_bytes = Path.write_bytes

    def fail(beside: Path, content: bytes) -> None:
        write_bytes(beside, content[:100])
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="disk full"):
        rl.save_torch_weights(tiny(), path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "variant",
    [
        "resnet18",
        "seresnet18",
        "resnet50d",
        "ecaresnet26t",
        "resnetrs50",
        "resnetv2_50d",
        "resnetv2_50d_evos",
        "resnetblur18",
        "senet154",
        "ecaresnet50d_pruned",
    ],
)
def test_timm_loads_the_file_strictly_and_computes_the_same(variant: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    timm = pytest.importorskip("timm")
    path = tmp_path / "weights.safetensors"
    model = randomize(rl.ResNet.from_variant(variant))
    rl.save_torch_weights(model, path)
    theirs = timm.create_model(variant, checkpoint_path=str(path)).eval()
    x = images(2, 64, 96, 3)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(x).permute(0, 3, 1, 2)).numpy()
    assert relative_difference(model(x), expected) < 1e-4


def test_header_is_readable_json(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    rl.save_torch_weights(tiny(), path)
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert header["fc.bias"]["shape"] == [3]


@pytest.mark.upstream
@pytest.mark.skipif(not can_kill_at_calls(), reason="needs strace, and the right to use it")
def test_safetensors_leave_a_file_when_they_are_killed(tmp_path: Path) -> None:
    script = "import numpy as n, safetensors.numpy as s; s.save_file({'a': n.zeros(9)}, 'a.s')"
    inject = "inject=rename,renameat,renameat2:signal=KILL"
    watch = ["strace", "-f", "-o", "/dev/null", "-e", inject, sys.executable, "-B", "-c", script]
    subprocess.run(watch, cwd=tmp_path, check=False)
    assert [path.name[:4] for path in tmp_path.iterdir()] == [".tmp"]
