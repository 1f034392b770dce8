"""What every layer promises, over the cases: one test for each property."""

import copy
import functools
import inspect
import io
import json
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

import resnet_layers as rl
from tests.support.cases import CASES, CASES_BY_NAME, MAX_POOL, STYLE, Case
from tests.support.randomize import (
    assert_same_weights,
    images,
    normalizations,
    randomize,
    relative_difference,
    statistics,
    value,
)

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def build(case: Case, **changes: Any) -> Any:
    """A built layer with random variables."""
    layer = case.create(**changes)
    if not layer.built:
        layer.build(case.input_shape)
    return randomize(layer)


@functools.cache
def _built(name: str) -> Any:
    return build(CASES_BY_NAME[name])


def shared(case: Case) -> Any:
    """What `build` returns, made once for all tests that change nothing but values.

    Building takes longer than most tests of what is built.
    """
    return randomize(_built(case.name))


def test_every_public_class_is_a_case() -> None:
    classes = {
        name
        for name in rl.__all__
        if inspect.isclass(getattr(rl, name)) and issubclass(getattr(rl, name), keras.Layer)
    }
    assert classes == {type(case.example).__name__ for case in CASES}
    others = {name for name in rl.__all__ if inspect.isclass(getattr(rl, name))} - classes
    assert others == {"BlockStyle", "DisagreementError", "Machine"}


def test_cases_leave_no_argument_at_its_default() -> None:
    """Over all cases of a class together, since some arguments exclude others."""
    moved: dict[str, set[str]] = {}
    parameters: dict[str, set[str]] = {}
    for case in CASES:
        signature = inspect.signature(case.layer)
        name = type(case.example).__name__
        config = case.example.get_config()
        named = {
            p.name
            for p in signature.parameters.values()
            if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        } - {"name"}
        parameters[name] = named
        moved.setdefault(name, set()).update(
            key for key in named if config[key] != signature.parameters[key].default
        )
    assert moved == parameters
    fields = rl.BlockStyle.__dataclass_fields__
    styles = ({**MAX_POOL.get_config(), **STYLE}, MAX_POOL.get_config())
    moved_fields = {key for key in fields for style in styles if style[key] != fields[key].default}
    assert moved_fields == set(fields)


@every_case
def test_config_holds_every_argument_as_given(case: Case) -> None:
    layer = case.create(name="abc", trainable=False)
    config = layer.get_config()
    parameters = inspect.signature(case.layer).parameters.values()
    assert {
        p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    } <= set(config)
    for key, given in case.arguments.items():
        if key not in ("style", "activation"):
            assert config[key] == given
    assert (config["name"], config["trainable"]) == ("abc", False)


@pytest.mark.parametrize(
    ("name", "args", "keywords", "kind", "text"),
    [
        ("ResNetStage", (8, 1, 2), {}, TypeError, "takes 3 positional arguments but 4 were given"),
        ("Stem", (8, 7), {}, TypeError, "from 1 to 2 positional arguments but 3 were given"),
        ("ConvBlock", (8, 2), {}, TypeError, "takes 2 positional arguments but 3 were given"),
        ("ConvBlock", (), {}, TypeError, "missing 1 required positional argument: 'filters'"),
        ("ConvBlock", (8,), {"geometry": {}}, ValueError, "to ConvBlock: {'geometry': {}}"),
        ("ResNetStage", (8, 1), {"geometry": {}}, ValueError, "to ResNetStage: {'geometry': {}}"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_by_python_and_keras(
    name: str, args: tuple[Any, ...], keywords: dict[str, Any], kind: type[Exception], text: str
) -> None:
    """In words about what was given, and not about how a constructor hands it on."""
    with pytest.raises(kind) as caught:
        getattr(rl, name)(*args, **keywords)
    assert text in str(caught.value)


@pytest.mark.share(3)
@every_case
def test_config_round_trip(case: Case) -> None:
    layer = case.create(name="abc", trainable=False)
    copied = type(layer).from_config(layer.get_config())
    assert copied.get_config() == layer.get_config()
    assert (copied.name, copied.trainable) == ("abc", False)
    from_json = type(layer).from_config(json.loads(json.dumps(layer.get_config())))
    assert json.dumps(from_json.get_config()) == json.dumps(layer.get_config())


@every_case
def test_config_is_plain_and_not_aliased(case: Case) -> None:
    layer = case.create()
    config = layer.get_config()

    def walk(node: Any) -> None:
        assert type(node) in (list, tuple, int, float, str, bool, dict, type(None)), node
        for child in node.values() if isinstance(node, dict) else node:
            if type(child) not in (int, float, str, bool, type(None)):
                walk(child)

    walk(config)
    json.dumps(config)
    assert "Lambda" not in str(config)
    assert "__lambda__" not in str(config)
    before = json.dumps(config)
    for node in config.values():
        if isinstance(node, dict):
            node.clear()
    assert json.dumps(layer.get_config()) == before


@pytest.mark.share(3)
@every_case
def test_build_alone_creates_every_variable(case: Case) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer = case.create()
        layer.build(case.input_shape)
    assert all(child.built for child in layer._flatten_layers())
    before = [v.path for v in layer.weights]
    assert before or case.layer is rl.Preprocessing
    layer(images(*case.input_shape))
    assert [v.path for v in layer.weights] == before


@every_case
def test_second_build_adds_nothing(case: Case) -> None:
    layer = shared(case)
    before = [id(v) for v in layer.variables]
    layer.build(case.input_shape)
    assert [id(v) for v in layer.variables] == before


@pytest.mark.share(3)
@every_case
def test_compute_output_shape_equals_the_call_and_creates_nothing(case: Case) -> None:
    layer = case.create()
    built = layer.built
    expected = layer.compute_output_shape(case.input_shape)
    assert type(expected) is tuple
    assert layer.built is built
    assert built or not layer.weights
    assert tuple(layer(images(*case.input_shape)).shape) == expected
    assert layer.compute_output_shape(list(case.input_shape)) == expected
    if case.layer is not rl.Preprocessing:  # which refuses to prepare no image
        no_images = (0, *case.input_shape[1:])
        assert layer.compute_output_shape(no_images) == (0, *expected[1:])


@pytest.mark.share(2)
@every_case
@pytest.mark.parametrize(
    "policy",
    [
        pytest.param("mixed_float16", marks=pytest.mark.slow),
        "mixed_bfloat16",
        pytest.param("float64", marks=pytest.mark.slow),
    ],
)
def test_symbolic_output_equals_the_eager_one(case: Case, policy: str) -> None:
    keras.config.set_dtype_policy(policy)
    layer = case.create()
    symbolic = layer(keras.Input(batch_shape=case.input_shape))
    eager = layer(images(*case.input_shape))
    assert tuple(symbolic.shape) == tuple(eager.shape)
    assert symbolic.dtype == keras.backend.standardize_dtype(eager.dtype)


@pytest.mark.share(8)
@every_case
def test_graph_and_xla_equal_eager(case: Case) -> None:
    layer = shared(case)
    x = images(*case.input_shape)
    eager = layer(x, training=False)
    for jit_compile in (False, True):
        compiled = tf.function(lambda z: layer(z, training=False), jit_compile=jit_compile)
        assert relative_difference(compiled(x), eager) < 1e-5


@pytest.mark.share(4)
@pytest.mark.slow
@every_case
def test_xla_on_a_layer_that_was_not_called_before_equals_eager(case: Case) -> None:
    layer = case.create()
    compiled = tf.function(lambda z: layer(z, training=False), jit_compile=True)
    x = images(*case.input_shape)
    if not layer.built:
        layer.build(case.input_shape)
    assert relative_difference(compiled(x), layer(x, training=False)) < 1e-5


@pytest.mark.share(8)
@every_case
def test_file_round_trip(case: Case, tmp_path: Path) -> None:
    inputs = keras.Input(batch_shape=(None, *case.input_shape[1:]))
    layer = case.create()
    model = layer if isinstance(layer, keras.Model) else keras.Model(inputs, layer(inputs))
    randomize(model)
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.saving.load_model(path, safe_mode=True)
    assert loaded.get_config() == model.get_config()
    assert [v.path for v in loaded.weights] == [v.path for v in model.weights]
    assert_same_weights(loaded.weights, model.weights)
    x = images(*case.input_shape)
    np.testing.assert_array_equal(value(loaded(x)), value(model(x)))
    # Nothing is left out of the file and nothing is there twice.
    with zipfile.ZipFile(path) as archive:
        weights = h5py.File(io.BytesIO(archive.read("model.weights.h5")))
    stored: list[str] = []
    weights.visititems(lambda n, o: stored.append(n) if isinstance(o, h5py.Dataset) else None)
    assert len(stored) == len(model.weights)
    # A second time, from the reloaded model.
    loaded.save(path)
    assert_same_weights(keras.saving.load_model(path).weights, model.weights)


@pytest.mark.share(8)
@every_case
def test_weights_file_replaces_every_variable_or_refuses(case: Case, tmp_path: Path) -> None:
    inputs = keras.Input(batch_shape=(None, *case.input_shape[1:]))
    model = keras.Model(inputs, shared(case)(inputs))
    path = tmp_path / "model.weights.h5"
    model.save_weights(path)
    other_layer = build(case)
    randomize(other_layer, seed=1)
    other = keras.Model(inputs, other_layer(inputs))
    before = [value(v).copy() for v in other.weights]
    other.load_weights(path)
    assert all((a != value(v)).any() for a, v in zip(before, other.weights, strict=True))
    assert_same_weights(other.weights, model.weights)


@pytest.mark.share(4)
@pytest.mark.slow
@every_case
def test_pickle_and_deepcopy(case: Case) -> None:
    layer = build(case)
    x = images(*case.input_shape)
    for copied in (pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer)):
        assert copied is not layer
        assert copied.get_config() == layer.get_config()
        assert not {id(v) for v in copied.variables} & {id(v) for v in layer.variables}
        np.testing.assert_array_equal(value(copied(x)), value(layer(x)))


@every_case
def test_variable_paths_are_unique_and_names_have_no_slash(case: Case) -> None:
    layer = shared(case)
    paths = [v.path for v in layer.weights]
    assert len(paths) == len(set(paths))
    assert not any("/" in child.name for child in layer._flatten_layers())


@every_case
def test_name_with_a_slash_is_refused(case: Case) -> None:
    with pytest.raises(ValueError, match="cannot contain character `/`"):
        case.create(name="stage1/block1")


@pytest.mark.share(3)
@every_case
def test_names_that_are_no_scopes_are_refused(case: Case) -> None:
    """TensorFlow would refuse them in `fit` and `predict`."""
    for name in ("my net", "é", "aé", " a", "a:b", "a\\b", "a\n", "a\tb"):
        with pytest.raises(ValueError, match="since TensorFlow names scopes after it"):
            case.create(name=name)
    layer = case.create(name="a")
    with pytest.raises(ValueError, match="since TensorFlow names scopes after it"):
        layer.name = "my net"


@pytest.mark.slow
@every_case
def test_global_data_format_changes_nothing(case: Case) -> None:
    expected = build(case)
    keras.config.set_image_data_format("channels_first")
    try:
        layer = build(case)
        copied = type(layer).from_config(expected.get_config())
        x = images(*case.input_shape)
        np.testing.assert_array_equal(value(layer(x)), value(expected(x)))
        copied.build(case.input_shape)
        copied.set_weights(expected.get_weights())
        np.testing.assert_array_equal(value(copied(x)), value(expected(x)))
    finally:
        keras.config.set_image_data_format("channels_last")


@pytest.mark.share(3)
@every_case
def test_names_do_not_depend_on_what_was_built_before(case: Case) -> None:
    def relative_paths(layer: Any) -> list[str]:
        return [v.path.split("/", 1)[1] for v in layer.weights]

    first = relative_paths(shared(case))
    assert relative_paths(build(case)) == first


@pytest.mark.share(3)
@every_case
@pytest.mark.parametrize(
    ("policy", "compute"),
    [
        pytest.param("mixed_float16", "float16", marks=pytest.mark.slow),
        ("mixed_bfloat16", "bfloat16"),
    ],
)
def test_mixed_precision_reaches_every_convolution(
    case: Case, policy: str, compute: str, tmp_path: Path
) -> None:
    exact = shared(case)
    keras.config.set_dtype_policy(policy)
    layer = case.create()
    keras.config.set_dtype_policy("float32")  # the layer's own policy rules from here on
    layer.build(case.input_shape)
    layer.set_weights(exact.get_weights())
    convolutions = [c for c in layer._flatten_layers() if isinstance(c, keras.layers.Conv2D)]
    assert all(c.compute_dtype == compute for c in convolutions)
    assert all(c.compute_dtype == compute for c in normalizations(layer))
    assert {v.dtype for v in layer.weights} <= {"float32"}
    x = images(*case.input_shape)
    y = layer(x)
    logits = isinstance(layer, (rl.ClassifierHead, rl.ResNet))
    assert keras.backend.standardize_dtype(y.dtype) == ("float32" if logits else compute)
    # Three significant digits of float16, two of bfloat16, over a dozen operations.
    assert relative_difference(keras.ops.cast(y, "float32"), exact(x)) < (
        2e-2 if compute == "float16" else 1e-1
    )
    path = tmp_path / "model.keras"
    inputs = keras.Input(batch_shape=case.input_shape)
    keras.Model(inputs, layer(inputs)).save(path)
    loaded = keras.saving.load_model(path).layers[1]
    assert [c.dtype_policy.name for c in loaded._flatten_layers()] == [
        c.dtype_policy.name for c in layer._flatten_layers()
    ]


@pytest.mark.share(8)
@every_case
def test_every_trainable_variable_gets_a_gradient(case: Case) -> None:
    if case.layer is rl.Preprocessing:
        pytest.skip("has no variables")
    layer = shared(case)
    # Two random directions, so that a gradient that cancels in one shows in the other.
    x = images(*case.input_shape)
    with tf.GradientTape() as tape:
        y = layer(x, training=True)
        weights = images(2, *y.shape[1:])
        loss = keras.ops.sum(keras.ops.sin(y) * weights)
    assert layer.trainable_variables
    gradients = tape.gradient(loss, [v.value for v in layer.trainable_variables])
    for variable, gradient in zip(layer.trainable_variables, gradients, strict=True):
        assert gradient is not None, variable.path
        assert np.isfinite(value(gradient)).all()
        assert np.abs(value(gradient)).max() > 0, variable.path


def _with_normalization(case: Case) -> bool:
    layers = case.example._flatten_layers()
    return any(isinstance(layer, keras.layers.BatchNormalization) for layer in layers)


normalized_case = pytest.mark.parametrize(
    "case", [c for c in CASES if _with_normalization(c)], ids=lambda case: case.name
)


@pytest.mark.share(3)
@normalized_case
def test_training_flag_reaches_every_normalization(case: Case) -> None:
    layer = shared(case)
    x = images(*case.input_shape)
    before = statistics(layer)
    inference = value(layer(x))
    np.testing.assert_array_equal(inference, value(layer(x, training=False)))
    for a, b in zip(before, statistics(layer), strict=True):
        np.testing.assert_array_equal(a, b)
    training = layer(x, training=True)
    assert relative_difference(training, inference) > 1e-3
    for a, b in zip(before, statistics(layer), strict=True):
        assert (a != b).any()


@pytest.mark.share(8)
@normalized_case
def test_frozen_layer_normalizes_by_its_statistics(case: Case) -> None:
    for layer in (build(case), build(case, trainable=False)):
        layer.trainable = False
        x = images(*case.input_shape)
        before = statistics(layer)
        # Not to the bit: a body that may be dropped is scaled.
        assert relative_difference(layer(x, training=True), layer(x, training=False)) < 1e-5
        for a, b in zip(before, statistics(layer), strict=True):
            np.testing.assert_array_equal(a, b)
        assert layer.trainable_variables == []


@every_case
def test_frozen_by_constructor_is_frozen_at_every_depth(case: Case) -> None:
    layer = case.create(trainable=False)
    assert not any(child.trainable for child in layer._flatten_layers())


@pytest.mark.share(8)
@normalized_case
def test_sublayers_frozen_one_by_one_stay_frozen(case: Case, tmp_path: Path) -> None:
    layer = build(case)
    for normalization in normalizations(layer)[::2]:
        normalization.trainable = False
    frozen = [v.path.split("/")[1:] for v in layer.trainable_variables]
    inputs = keras.Input(batch_shape=case.input_shape)
    path = tmp_path / "model.keras"
    keras.Model(inputs, layer(inputs)).save(path)
    for copied in (
        type(layer).from_config(layer.get_config()),
        copy.deepcopy(layer),
        keras.saving.load_model(path).layers[1],
    ):
        if not copied.built:
            copied.build(case.input_shape)
        assert [v.path.split("/")[1:] for v in copied.trainable_variables] == frozen


@every_case
def test_input_of_another_rank_is_refused(case: Case) -> None:
    if isinstance(case.example, (rl.ResNet, rl.Preprocessing)):
        pytest.skip(
            "refused in words of its own, see the messages of networks and test_preprocessing"
        )
    ndim = len(case.input_shape)
    match = rf"must have {ndim} axes \(.*\), since its rank is {ndim - 2}; `rank`, of a style or a"
    with pytest.raises(ValueError, match=match):
        case.create()(images(*case.input_shape, 1))


@pytest.mark.share(3)
@every_case
def test_rows_do_not_depend_on_the_batch(case: Case) -> None:
    layer = shared(case)
    x = images(*case.input_shape)
    whole = value(layer(x, training=False))
    for i in range(len(x)):
        assert relative_difference(layer(x[i : i + 1], training=False), whole[i : i + 1]) < 1e-5


@every_case
def test_input_is_left_as_it_was(case: Case) -> None:
    layer = shared(case)
    x = keras.ops.convert_to_tensor(images(*case.input_shape))
    before = value(x).copy()
    layer(x, training=True)
    np.testing.assert_array_equal(value(x), before)


@pytest.mark.share(4)
@pytest.mark.slow
@every_case
def test_same_seed_same_layer_other_seed_other_layer(case: Case) -> None:
    def weights(seed: int) -> list[np.ndarray]:
        keras.utils.set_random_seed(seed)
        changes = {}
        if "style" in case.arguments:  # one without a seed of its own
            changes["style"] = case.arguments["style"].replace(kernel_initializer="he_normal")
        layer = case.create(**changes)
        layer.build(case.input_shape)
        return [value(v) for v in layer.weights if v.name == "kernel"]

    first = weights(1)
    if not first:
        pytest.skip("has no kernel")
    for a, b in zip(first, weights(1), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(first, weights(2), strict=True))


@pytest.mark.share(3)
@every_case
def test_kernels_of_equal_shape_start_different(case: Case) -> None:
    layer = case.create()
    layer.build(case.input_shape)
    kernels = [value(v) for v in layer.weights if v.name == "kernel"]
    for i, a in enumerate(kernels):
        for b in kernels[:i]:
            assert a.shape != b.shape or (a != b).any()


REGISTERED = {
    "BlockStyle": "resnet_layers>BlockStyle",
    "ClassifierHead": "resnet_layers>ClassifierHead",
    "ConvBlock": "resnet_layers>ConvBlock",
    "ConvNorm": "resnet_layers>ConvNorm",
    "IdentityBlock": "resnet_layers>IdentityBlock",
    "NormAct": "resnet_layers>NormAct",
    "Preprocessing": "resnet_layers>Preprocessing",
    "ResNet": "resnet_layers>ResNet",
    "ResNetStage": "resnet_layers>ResNetStage",
    "Stem": "resnet_layers>Stem",
}


def test_registered_names_are_fixed() -> None:
    for name in rl.__all__:
        thing = getattr(rl, name)
        # Neither an error nor what a machine can do is in a model's config.
        if inspect.isclass(thing) and not issubclass(thing, (Exception, rl.Machine)):
            assert keras.saving.get_registered_name(thing) == REGISTERED[name]


# What each argument is changed to, alone; the output, the weights or the input that fits changes.
CHANGES = [
    ("conv_norm_strided", "filters", 4),
    ("conv_norm_strided", "kernel_size", 3),
    ("conv_norm_strided", "strides", 2),
    ("conv_norm_dilated", "dilation_rate", 1),
    ("conv_norm_strided", "groups", 1),
    ("conv_norm_strided", "activation", None),
    ("identity_block_basic", "groups", 1),
    ("identity_block_basic", "group_width", 6),
    ("conv_block", "filters", 4),
    ("conv_block", "strides", 2),
    ("conv_block", "bottleneck", False),
    ("conv_block", "groups", 1),
    ("conv_block", "group_width", 5),
    ("stage", "filters", 4),
    ("stage", "blocks", 3),
    ("stage", "strides", 1),
    ("stage", "bottleneck", False),
    ("stage", "groups", 1),
    ("stage", "group_width", 5),
    ("identity_block_pooled", "kernel_size", 3),
    ("identity_block_pooled", "dilation_rate", 1),
    ("conv_block_pooled_dilated", "first_dilation_rate", None),
    ("conv_block_pooled_dilated", "widths", None),
    ("stage_strided_last", "kernel_size", 3),
    ("stage_strided_last", "widths", None),
    ("stage_dilated", "dilation_rate", 3),
    ("stage_dilated", "first_dilation_rate", None),
    ("stage_without_projection", "projection", True),
    ("stem_deep", "hidden_filters", (4,)),
    ("stem_deep", "pooling", "max"),
    ("stem", "filters", 5),
    ("stem", "kernel_size", 3),
    ("stem", "strides", 1),
    ("stem", "pooling", "max"),
    ("head", "classes", 4),
    ("head", "pooling", "avg"),
    ("head", "hidden_units", None),
    ("head", "activation", None),
]


@pytest.mark.share(4)
@pytest.mark.parametrize(("name", "argument", "changed"), CHANGES)
def test_argument_changes_config_and_weights_or_output(
    name: str, argument: str, changed: Any
) -> None:
    case = CASES_BY_NAME[name]
    changes: dict[str, Any] = {argument: changed}
    if (name, argument) == ("stage_without_projection", "projection"):
        changes["style"] = case.arguments["style"].replace(shortcut="B")
    layer, other = shared(case), case.create(**changes)
    assert layer.get_config()[argument] != other.get_config()[argument]
    x = images(*case.input_shape)
    other.build(case.input_shape)
    if [v.shape for v in layer.weights] == [v.shape for v in other.weights]:
        other.set_weights(layer.get_weights())
        a, b = layer(x), other(x)
        assert a.shape != b.shape or relative_difference(a, b) > 1e-3
