"""`convert`: weights of other libraries to a model file and back, from the shell."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

import resnet_layers as rl
from resnet_layers.__main__ import main
from resnet_layers.shell import classifier
from tests.support.randomize import images, randomize, value

TAG = "test_resnet.r160_in1k"


def run(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command."""
    capsys.readouterr()
    code = main(list(map(str, arguments)))
    return (code, *capsys.readouterr())


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A file of torch's with 7 classes."""
    model = randomize(rl.ResNet.from_variant("test_resnet", classes=7))
    rl.save_torch_weights(model, tmp_path / "weights.safetensors")
    return tmp_path / "weights.safetensors"


@pytest.mark.slow
@pytest.mark.share(2)
def test_averaged_weights_are_a_choice_and_said(
    capsys: pytest.CaptureFixture[str], weights: Path, tmp_path: Path
) -> None:
    arrays, both = load_file(weights), tmp_path / "both.safetensors"
    doubled = {f"state_dict_ema.{name}": np.asarray(2 * array) for name, array in arrays.items()}
    save_file({**{f"state_dict.{name}": array for name, array in arrays.items()}, **doubled}, both)
    for i, (choice, factor) in enumerate([((), 2), (("--averaged",), 2), (("--no-averaged",), 1)]):
        output = tmp_path / f"{i}.keras"
        options = ("--variant", "test_resnet", *choice)
        code, _, err = run(capsys, "convert", both, *options, "-o", output)
        said = "These are the averaged weights; --no-averaged takes the others\n"
        assert (code, err) == (0, said if not choice else "")
        bias = keras.saving.load_model(output).head.dense.bias
        np.testing.assert_array_equal(value(bias), factor * arrays["fc.bias"])


@pytest.mark.share(6)
def test_weights_become_a_model_with_their_classes(
    capsys: pytest.CaptureFixture[str], weights: Path, tmp_path: Path
) -> None:
    output = tmp_path / "model.keras"
    code, out, err = run(capsys, "convert", weights, "--variant", "test_resnet", "-o", output)
    assert (code, err) == (0, "")
    model = keras.saving.load_model(output)
    size = model.count_params()
    assert out == f"Wrote '{output}': test_resnet, {size:,} parameters, 7 outputs\n"
    again = ("convert", weights, "--variant", "test_resnet", "-o", output, "--json")
    code, out, err = run(capsys, *again)
    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "path": str(output),
        "name": "test_resnet",
        "parameters": size,
        "outputs": 7,
        "license": None,
    }
    expected = rl.ResNet.from_variant("test_resnet", classes=7)
    rl.load_weights_from(expected, weights)
    x = images(2, 33, 32, 3)
    np.testing.assert_array_equal(value(model(x)), value(expected(x)))


def test_there_and_back_gives_the_same_file(
    capsys: pytest.CaptureFixture[str], weights: Path, tmp_path: Path
) -> None:
    model, back = tmp_path / "model.keras", tmp_path / "back.safetensors"
    assert run(capsys, "convert", weights, "--variant", "test_resnet", "-o", model)[0] == 0
    assert run(capsys, "convert", model, "--to", "torch", "-o", back)[0] == 0
    assert back.read_bytes() == weights.read_bytes()


@pytest.mark.share(2)
@pytest.mark.parametrize("option", [(), ("--tag", TAG)])
def test_tag_says_how_images_are_prepared(
    capsys: pytest.CaptureFixture[str], weights: Path, tmp_path: Path, option: tuple[str, ...]
) -> None:
    source = weights if option else weights.rename(tmp_path / f"{TAG}.safetensors")
    output, photo = tmp_path / "model.keras", tmp_path / "photo.png"
    code, out, _ = run(capsys, "convert", source, *option, "-o", output)
    assert code == 0
    assert out.splitlines()[1] == "Licence of the weights: apache-2.0"
    found = classifier.load(output)
    assert found.class_names == list("0123456")
    pixels = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
    Image.fromarray(pixels).save(photo)
    probabilities = found.probabilities([photo])
    logits = found.model(rl.preprocessing(TAG)(pixels[None]))
    np.testing.assert_allclose(probabilities, value(keras.ops.softmax(logits)), rtol=1e-4)
    code, out, _ = run(capsys, "predict", output, photo, "--top", "1")
    assert (code, out.split()[-1]) == (0, str(probabilities[0].argmax()))


def test_published_preprocessing_evaluates_a_folder(
    capsys: pytest.CaptureFixture[str], weights: Path, tmp_path: Path
) -> None:
    output, folder = tmp_path / "model.keras", tmp_path / "photos"
    assert run(capsys, "convert", weights, "--tag", TAG, "-o", output)[0] == 0
    rng = np.random.default_rng(0)
    for i in range(6):
        (folder / str(i % 2)).mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (40, 50, 3), np.uint8)
        Image.fromarray(pixels).save(folder / str(i % 2) / f"{i}.png")
    code, out, _ = run(capsys, "evaluate", output, "--data", folder, "--all", "--json")
    assert code == 0
    assert '"images": 6' in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("weights.safetensors", "-o", "model.keras"),
            "The network must be named with `--variant`, since the name of 'weights.safetensors' "
            "is no tag of published weights",
        ),
        (
            ("weights.safetensors", "--variant", "resnet18", "-o", "model.h5"),
            "The name of the output must end in '.keras'. Received: 'model.h5'",
        ),
        (
            ("weights.safetensors", "--variant", "resnet18", "-o", "none/model.keras"),
            "The folder of the output must exist. Received: 'none/model.keras'",
        ),
        (
            ("model.keras", "--to", "torch", "-o", "weights.pth"),
            "The name of the output must end in '.safetensors'. Received: 'weights.pth'",
        ),
        (
            ("model.keras", "--to", "torch", "--variant", "resnet18", "-o", "a.safetensors"),
            "`--variant`, `--tag` and `--averaged` must be left out with `--to torch`",
        ),
        (
            ("missing.safetensors", "--variant", "resnet18", "-o", "model.keras"),
            "The file of weights 'missing.safetensors' cannot be read: No such file or directory",
        ),
        (
            ("missing.keras", "--to", "torch", "-o", "a.safetensors"),
            "The model file 'missing.keras' cannot be read: No such file or directory",
        ),
        (
            (
                "weights.safetensors",
                "--variant",
                "test_resnet",
                "--tag",
                "resnet18.a1_in1k",
                "-o",
                "m.keras",
            ),
            "`--tag` must be one of the network. Received: variant='test_resnet', "
            "tag='resnet18.a1_in1k'",
        ),
        (
            ("weights.safetensors", "--tag", "resnet50.none", "-o", "model.keras"),
            "There is no tag of that name; close names: 'resnet50t.untrained', "
            "'resnet50.d_in1k', 'resnet50.bamboo', 'seresnet50t.untrained', 'resnet50.tv_in1k'. "
            "Received: tag='resnet50.none'",
        ),
    ],
)
def test_what_cannot_be_converted_is_one_sentence(
    capsys: pytest.CaptureFixture[str],
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(weights.parent)
    assert run(capsys, "convert", *arguments) == (2, "", f"resnet-layers: {message}\n")
    assert list(weights.parent.iterdir()) == [weights]


def test_name_of_a_file_does_not_contradict_the_network(
    capsys: pytest.CaptureFixture[str], weights: Path, tmp_path: Path
) -> None:
    source, output = weights.rename(tmp_path / "resnet18.a1_in1k.safetensors"), tmp_path / "m.keras"
    code, out, _ = run(capsys, "convert", source, "--variant", "test_resnet", "-o", output)
    assert (code, "Licence" in out) == (0, False)
    assert keras.saving.load_model(output).metadata == {}


def test_classifier_of_another_shape_is_one_sentence(
    capsys: pytest.CaptureFixture[str], weights: Path, tmp_path: Path
) -> None:
    arrays = {**load_file(weights), "fc.weight": np.array(1, "float32")}
    save_file(arrays, weights)
    arguments = ("convert", weights, "--variant", "test_resnet", "-o", tmp_path / "model.keras")
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert " ! fc.weight: has (), needs (1000, 96)\n" in err


def test_an_empty_classifier_claims_no_number_of_classes(
    capsys: pytest.CaptureFixture[str], weights: Path, tmp_path: Path
) -> None:
    arrays = {**load_file(weights), "fc.weight": np.zeros((10**9, 0), "float32")}
    save_file(arrays, weights)
    arguments = ("convert", weights, "--variant", "test_resnet", "-o", tmp_path / "model.keras")
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert " ! fc.weight: has (1000000000, 0), needs (1000, 96)\n" in err


@pytest.mark.parametrize("name", ["no\nresnet-layers: all is well", "a\x1b[2J", "b\u202egnp."])
@pytest.mark.parametrize("before", ["", "--data="])
def test_what_is_typed_has_no_lines_of_its_own(
    capsys: pytest.CaptureFixture[str], name: str, before: str, tmp_path: Path
) -> None:
    arguments = ["train", "--output", tmp_path, before + name] if before else ["evaluate", name]
    code, out, err = run(capsys, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert ascii(name)[1:-1] in err


def test_weights_of_another_network_are_refused(
    capsys: pytest.CaptureFixture[str], weights: Path, tmp_path: Path
) -> None:
    arguments = ("convert", weights, "--variant", "resnet10t", "-o", tmp_path / "model.keras")
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert " ! conv1.0.weight: has (16, 3, 3, 3), needs (24, 3, 3, 3)\n" in err
    assert list(tmp_path.iterdir()) == [weights]


def test_list_says_which_networks_have_published_weights(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, err = run(capsys, "list", "resnet50?")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "resnet50c   25,576,264  gluon_in1k",
        "resnet50d   25,576,264  a1_in1k, a2_in1k, a3_in1k, gluon_in1k, ra2_in1k, "
        "ra4_e3600_r224_in1k",
        "resnet50s   25,680,808  gluon_in1k",
        "resnet50t   25,573,728",
    ]
