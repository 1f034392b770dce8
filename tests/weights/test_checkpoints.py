"""Checkpoints as training scripts and frameworks write them: which weights are taken, and said."""

import argparse
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import resnet_layers as rl
from tests.weights.test_reading import assert_untouched, refused, tensors, tiny

Arrays = dict[str, Any]
BESIDE: dict[str, Any] = {"epoch": 3, "optimizer": {"state": {0: {"step": 1}}, "param_groups": []}}


def under(prefix: str, arrays: Arrays) -> Arrays:
    return {prefix + name: array for name, array in arrays.items()}


def average(arrays: Arrays) -> Arrays:
    """The weights of `torch.optim.swa_utils.AveragedModel`, which torchvision trains with."""
    return {"n_averaged": np.array(7), **under("module.", arrays)}


# From raw and averaged weights, a checkpoint that has both.
BOTH: dict[str, Callable[[Arrays, Arrays], Any]] = {
    "timm": lambda raw, ema: {**BESIDE, "state_dict": raw, "state_dict_ema": ema},
    "torchvision": lambda raw, ema: {**BESIDE, "model": raw, "model_ema": average(ema)},
    "several devices": lambda raw, ema: {
        "model": under("module.", raw),
        "model_ema": average(under("module.", ema)),
    },
    "compiled": lambda raw, ema: {
        "state_dict": under("_orig_mod.", raw),
        "state_dict_ema": under("module._orig_mod.", ema),
    },
    "Lightning's averages": lambda raw, ema: {
        "state_dict": under("model.", ema),
        "current_model_state": under("model.", raw),
        "averaging_state": {"n_averaged": np.array(7)},
    },
    "modules": lambda raw, ema: {
        "state_dict": {**under("model.", raw), **under("ema_model.", ema)}
    },
    "names": lambda raw, ema: {**under("state_dict.", raw), **under("state_dict_ema.", ema)},
    "names of an average": lambda raw, ema: {
        **under("model.", raw),
        **under("model_ema.", average(ema)),
    },
}
RAW: dict[str, Callable[[Arrays], Any]] = {
    "timm": lambda raw: {**BESIDE, "state_dict": raw, "state_dict_ema": None},
    "Lightning": lambda raw: {**BESIDE, "state_dict": under("model.", raw), "callbacks": {}},
    "Lightning, another name": lambda raw: {"state_dict": under("net._orig_mod.", raw)},
    "Composer": lambda raw: {"state": {"model": under("model.", raw), **BESIDE}, "rng": []},
    "Composer on devices": lambda raw: {"state": {"model": under("module.model.", raw)}},
    "names": lambda raw: under("module.model.", raw),
}
AVERAGED: dict[str, Callable[[Arrays], Any]] = {
    "timm": lambda ema: {"epoch": 3, "state_dict_ema": ema},
    "torchvision": lambda ema: {"epoch": 3, "model_ema": average(ema)},
    "bare": average,
    "wrapped": lambda ema: {"model": average(under("module.", ema))},
}


def assert_taken(source: Any, expected: rl.ResNet, averaged: bool | None) -> None:
    weights, other = expected.get_weights(), tiny(seed=2)
    rl.load_weights_from(other, source, averaged=averaged)
    assert_untouched(other, weights)


@pytest.mark.share(4)
@pytest.mark.parametrize("name", BOTH)
def test_averaged_weights_are_taken_by_choice_and_said(name: str) -> None:
    source = BOTH[name](tensors(tiny(0)), tensors(tiny(1)))
    assert_taken(source, tiny(1), True)
    assert_taken(source, tiny(0), False)
    with pytest.warns(UserWarning, match="are the averaged ones of source=<mapping>"):
        assert_taken(source, tiny(1), None)


@pytest.mark.parametrize("name", AVERAGED)
def test_averaged_weights_alone_are_no_others(name: str) -> None:
    source = AVERAGED[name](tensors(tiny(1)))
    assert_taken(source, tiny(1), True)
    with pytest.warns(UserWarning, match="are the averaged ones"):
        assert_taken(source, tiny(1), None)
    with pytest.raises(ValueError, match="has no other weights"):
        rl.load_weights_from(tiny(2), source, averaged=False)


@pytest.mark.parametrize("name", RAW)
def test_other_weights_alone_are_not_averaged(name: str) -> None:
    source = RAW[name](tensors(tiny(1)))
    for averaged in (None, False):
        assert_taken(source, tiny(1), averaged)
    with pytest.raises(ValueError, match="has no averaged weights"):
        rl.load_weights_from(tiny(2), source, averaged=True)


@pytest.mark.parametrize("names", [("state_dict", "model"), ("state_dict_ema", "model_ema")])
def test_two_sets_of_a_kind_are_none(names: tuple[str, str]) -> None:
    one, other = tensors(tiny(0)), tensors(tiny(1))
    assert refused({**BESIDE, names[0]: one, names[1]: average(other)}) == (
        "A checkpoint must have one set of weights, and one that is averaged; give the one that is "
        f"meant as a mapping. Received: source=<mapping> with {names[0]}, {names[1]}"
    )


@pytest.mark.parametrize(
    "beside",
    [
        {"model": {"name": "resnet18", "width": 64}, "ema": {"decay": 0.9}, "net": None},
        {"state": {"state": {0: {"exp_avg": np.ones(3)}}, "param_groups": [{"params": [0]}]}},
        {"model": {}, "network": {"layers": {"depth": [2, 2]}}},
    ],
    ids=["settings", "optimizer", "nothing"],
)
def test_what_has_no_tensors_is_no_second_set(beside: Arrays) -> None:
    assert_taken({**beside, "state_dict": tensors(tiny(1))}, tiny(1), None)


def test_averages_without_names_are_refused_where_they_would_be_taken() -> None:
    arrays = tensors(tiny(1))
    ema = {"decay": 0.99, "num_updates": 4, "shadow_params": list(arrays.values())}  # torch_ema
    source = {"model": arrays, "ema": ema}
    assert refused(source) == (
        "Averaged weights must have names; averaged=False takes the others. "
        "Received: source=<mapping> with ema whose shadow_params is a list"
    )
    assert_taken(source, tiny(1), False)


def test_tensors_beside_a_network_are_named() -> None:
    message = refused({**under("model.", tensors(tiny())), "loss.weight": np.ones(3)})
    assert message.endswith(
        "\nThe prefix 'model.' is taken away where all names have it, which these have not: "
        "loss.weight. Give a mapping of the network's tensors alone."
    )


def test_two_networks_are_none() -> None:
    message = refused({**under("model.", tensors(tiny())), **under("net.", tensors(tiny(1)))})
    assert "which these have not: net.conv1.weight" in message


@pytest.mark.parametrize("averaged", [False, True])
def test_names_in_safetensors(averaged: bool, tmp_path: Path) -> None:
    path = tmp_path / "both.safetensors"
    save_file(BOTH["names of an average"](tensors(tiny(0)), tensors(tiny(1))), path)
    assert_taken(path, tiny(int(averaged)), averaged)


@pytest.mark.parametrize("ending", ["pth.tar", "ckpt", "pth", "PTH.TAR"])
@pytest.mark.parametrize("old", [False, True])
def test_files_of_training_scripts(ending: str, old: bool, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    raw, ema = (
        OrderedDict((k, torch.from_numpy(v)) for k, v in tensors(tiny(seed)).items())
        for seed in (0, 1)
    )
    options = argparse.Namespace(lr=0.1, device=torch.device("cpu"), names=("a", None))
    path = tmp_path / f"checkpoint.{ending}"
    found = {**BESIDE, "args": options, "state_dict": raw, "state_dict_ema": ema}
    torch.save(found, path, _use_new_zipfile_serialization=not old)
    assert_taken(path, tiny(0), False)
    assert_taken(path, tiny(1), True)
