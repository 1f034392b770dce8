"""Loading is exact in both directions, or one error says what does not fit and nothing changes."""

import ast
import re
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import resnet_layers as rl
from resnet_layers import weights
from resnet_layers.weights import plan
from tests.support.randomize import images, randomize, relative_difference, value
from tests.weights.test_reading import (
    TINY,
    assert_untouched,
    keras_original,
    refused,
    tensors,
    tiny,
)

MODEL = tiny()
NAMES = [name for name, array in tensors(MODEL).items() if array.ndim]


def header(source: str = "<mapping>") -> str:
    return (
        "The tensors of `source` must be those of `model`, named as in timm (- is missing, + is "
        f"not expected, ! does not fit). Received: source={source} with\n"
    )


@given(st.sampled_from(NAMES), st.sampled_from(["remove", "rename", "reshape", "add"]))
def test_any_change_of_any_tensor_is_reported_by_name(name: str, change: str) -> None:
    source, before = tensors(MODEL), MODEL.get_weights()
    shape = source[name].shape
    if change == "remove":
        del source[name]
        expected = f" - {name} {shape}"
    elif change == "rename":
        source[f"{name}x"] = source.pop(name)
        expected = f" - {name} {shape}\n + {name}x"
    elif change == "reshape":
        source[name] = source[name][None]
        expected = f" ! {name}: has {(1, *shape)}, needs {shape}"
    else:
        source[f"{name}.extra"] = np.zeros(1)
        expected = f" + {name}.extra"
    with pytest.raises(ValueError, match="must be those of `model`") as caught:
        rl.load_weights_from(MODEL, source)
    hint = "\nIf only the classes differ, give skip=('head',)." if name[:2] == "fc" else ""
    assert str(caught.value) == header() + expected + hint
    assert_untouched(MODEL, before)


@given(st.dictionaries(st.sampled_from(NAMES), st.sampled_from("-+!"), min_size=2))
def test_every_change_is_in_the_error(changes: dict[str, str]) -> None:
    source, before = tensors(MODEL), MODEL.get_weights()
    for name, change in changes.items():
        if change == "+":
            source[f"{name}.extra"] = np.zeros(1)
        elif change == "-":
            del source[name]
        else:
            source[name] = source[name].astype("int32")
    with pytest.raises(ValueError, match="must be those of `model`") as caught:
        rl.load_weights_from(MODEL, source)
    lines = str(caught.value).splitlines()[1:]
    found = {re.split(r"(?:\.extra|:? .*)?$", line[3:])[0]: line[1] for line in lines}
    found = {name: sign for name, sign in found.items() if name in NAMES}
    assert found.items() <= changes.items()
    more = len(changes) - len(found)  # ten are named, and the others counted
    assert len(found) == min(len(changes), 10)
    assert (f"and {more} more" in lines) == (more > 0)
    assert len(found) + (more > 0) <= len(lines) <= len(found) + (more > 0) + 1
    assert_untouched(MODEL, before)


def test_counters_of_torch_may_be_missing_and_no_others_be_there() -> None:
    source = tensors(tiny())
    rl.load_weights_from(tiny(), {name: array for name, array in source.items() if array.ndim})
    rl.load_weights_from(tiny(), source)
    source["layer9.0.bn1.num_batches_tracked"] = np.zeros((), "int64")
    assert refused(source) == header() + " + layer9.0.bn1.num_batches_tracked"


def test_swapped_tensors_of_equal_shape_are_not_noticed() -> None:
    """The names are all that tells them apart, as the documentation says."""
    model, source = tiny(), tensors(tiny())
    a, b = "layer1.0.conv1.weight", "layer1.0.conv2.weight"
    source[a], source[b] = source[b], source[a]
    expected = value(model(images(1, 9, 9, 3)))
    rl.load_weights_from(model, source)
    assert relative_difference(model(images(1, 9, 9, 3)), expected) > 1e-3


# --- skip ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("skip", [("head",), ["stem", "stage1"], {"stage2"}])
def test_skipped_parts_stay_as_they_are(skip: Any) -> None:
    model, source = tiny(seed=1), tiny()
    before = {name: part.get_weights() for name, part in plan.named_parts(model).items()}
    rl.load_weights_from(model, tensors(source), skip=skip)
    for name, part in plan.named_parts(model).items():
        theirs = plan.named_parts(source)[name].get_weights()
        for a, b in zip(part.get_weights(), before[name] if name in skip else theirs, strict=True):
            np.testing.assert_array_equal(a, b)


def test_another_number_of_classes_needs_the_head_to_be_skipped() -> None:
    model = randomize(rl.ResNet.from_variant("resnet18", **{**TINY, "classes": 5}))
    with pytest.raises(ValueError, match=r"give skip=\('head',\)"):
        rl.load_weights_from(model, tensors(tiny()))
    rl.load_weights_from(model, tensors(tiny()), skip=["head"])


def test_headless_network_skips_the_head() -> None:
    arguments = {key: value for key, value in TINY.items() if key != "classes"}
    model = rl.ResNet.from_variant("resnet18", head=None, **arguments)
    with pytest.raises(ValueError, match=r" \+ fc.weight\n \+ fc.bias\nIf only the classes"):
        rl.load_weights_from(model, tensors(tiny()))
    rl.load_weights_from(model, tensors(tiny()), skip=["head"])
    x = images(1, 9, 9, 3)
    np.testing.assert_array_equal(value(model(x)), value(tiny().features(x)["stage2"]))


def test_final_norm_of_pre_activation_can_be_skipped() -> None:
    model = randomize(rl.ResNet.from_variant("resnetv2_18", **TINY))
    other = randomize(rl.ResNet.from_variant("resnetv2_18", **TINY), seed=1)
    before = other.norm.get_weights()
    rl.load_weights_from(other, tensors(model), skip=["norm"])
    for a, b in zip(other.norm.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(value(other.head.dense.kernel), value(model.head.dense.kernel))


# --- other channels ------------------------------------------------------------------------------


@pytest.mark.share(4)
@pytest.mark.parametrize("variant", ["resnet18", "resnet18d", "resnetv2_18"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 7])
def test_first_kernel_is_adapted_to_other_channels(variant: str, channels: int) -> None:
    small: dict[str, Any] = {"blocks": (1,), "filters": (4,), "classes": 3}
    source = randomize(rl.ResNet.from_variant(variant, **small))
    shape = (None, None, channels)
    model = randomize(rl.ResNet.from_variant(variant, input_shape=shape, **small), seed=1)
    rl.load_weights_from(model, tensors(source))
    first = [(m.stem.hidden or (m.stem.conv,))[0].convolution.kernel for m in (model, source)]
    kernel, original = map(value, first)
    if channels == 1:
        expected = original.sum(axis=2, keepdims=True)
    else:
        tiled = np.concatenate([original] * 3, axis=2)[:, :, :channels]
        expected = tiled * np.float32(3 / channels)
    np.testing.assert_allclose(kernel, expected, rtol=1e-6)
    for a, b in zip(model.stages[0].get_weights(), source.stages[0].get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("theirs", "ours"), [(4, 5), (1, 3), (4, 3), (1, 2), (5, 1)])
def test_channels_are_adapted_from_rgb_alone(theirs: int, ours: int) -> None:
    source, model = (
        rl.ResNet.from_variant("resnet18", input_shape=(None, None, channels), **TINY)
        for channels in (theirs, ours)
    )
    before = model.get_weights()
    with pytest.raises(ValueError, match="must be those of `model`") as caught:
        rl.load_weights_from(model, tensors(source))
    assert str(caught.value) == (
        header() + f" ! conv1.weight: has (4, {theirs}, 7, 7), needs (4, {ours}, 7, 7)"
    )
    assert_untouched(model, before)


def test_no_other_kernel_is_adapted() -> None:
    source = tensors(tiny())
    source["layer1.0.conv1.weight"] = source["layer1.0.conv1.weight"][:, :3]
    assert refused(source) == (
        header() + " ! layer1.0.conv1.weight: has (4, 3, 3, 3), needs (4, 4, 3, 3)"
    )


@pytest.mark.parametrize("variant", ["resnet18", "r3d_18", "keras_resnet50"])
def test_first_kernel_alone_is_adapted_in_every_dialect(variant: str) -> None:
    source = randomize(rl.ResNet.from_variant(variant, **TINY))
    dialect = plan.keras_dialect(source) if "keras" in variant else plan.torch_dialect(source)
    rows = plan.named_tensors(source, dialect)
    arrays = {r.name: r.to_source(value(r.variable)) for r in rows if r.variable is not None}
    shape = (*source.input_shape[:-1], 2)
    model = rl.ResNet.from_variant(variant, input_shape=shape, **TINY)
    rl.load_weights_from(model, arrays)
    original = value(source.stem.conv.convolution.kernel)
    kernel = value(model.stem.conv.convolution.kernel)
    np.testing.assert_allclose(kernel, original[..., :2, :] * np.float32(1.5), rtol=1e-6)
    for a, b in zip(model.get_weights()[1:], source.get_weights()[1:], strict=True):
        np.testing.assert_array_equal(a, b)


# --- every kind of model -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [{"dtype": "mixed_bfloat16"}, {"trainable": False}, {"data_format": "channels_first"}],
)
def test_models_in_every_state_are_loaded(changes: dict[str, Any]) -> None:
    model, source = rl.ResNet.from_variant("resnet18", **TINY, **changes), tiny()
    rl.load_weights_from(model, tensors(source))
    assert_untouched(model, source.get_weights())


def test_signals_have_names_as_well() -> None:
    source = randomize(rl.ResNet.from_variant("resnet18", rank=1, **TINY))
    model = rl.ResNet.from_variant("resnet18", rank=1, **TINY)
    arrays = tensors(source)
    assert arrays["conv1.weight"].shape == (4, 3, 7)
    rl.load_weights_from(model, arrays)
    assert_untouched(model, source.get_weights())


@pytest.mark.slow
@pytest.mark.share(2)
def test_head_of_a_model_around_keras_applications_is_skipped() -> None:
    body = keras.applications.ResNet50(include_top=False, weights=None, input_shape=(32, 32, 3))
    layers = [body, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(5, name="mine")]
    source = randomize(keras.Sequential([keras.Input((32, 32, 3)), *layers]))
    model = rl.ResNet.from_variant("keras_resnet50", classes=5)
    with pytest.raises(ValueError, match=r"\+ mine/bias\nIf only the classes differ, give skip="):
        rl.load_weights_from(model, source)
    rl.load_weights_from(model, source, skip=["head"])
    x = images(1, 32, 32, 3)
    assert relative_difference(model.features(x)["stage4"], body(x)) < 1e-4


def test_parts_of_other_classes_can_be_skipped() -> None:
    head = keras.Sequential(
        [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)], name="own"
    )
    body = tiny()
    model = rl.ResNet(body.stem, body.stages, head)
    rl.load_weights_from(model, tensors(tiny()), skip=["head"])


@pytest.mark.parametrize(
    ("variant", "renamed", "hint"),
    [
        (
            "resnet18",
            lambda name, array: np.tile(array, (1, 2)) if name == "fc.weight" else array,
            "\nA classifier of twice the features, timm's 'catavgmax', has no counterpart here.",
        ),
        (
            "seresnet18",
            lambda name, array: np.tile(array, (2, 1, 1, 1)) if "fc1.weight" in name else array,
            "\nThe width of squeeze-and-excitation is a share of the channels here, "
            "`attention_ratio`; one number of channels for all stages has no counterpart.",
        ),
        (
            "resnet18",
            lambda name, array: array,
            "\nActivations with weights, such as PReLU, have no counterpart here.",
        ),
    ],
)
def test_what_has_no_counterpart_is_said(variant: str, renamed: Any, hint: str) -> None:
    model = rl.ResNet.from_variant(variant, **TINY)
    source = {name: renamed(name, array) for name, array in tensors(model).items()}
    if "PReLU" in hint:
        source |= {"act1.weight": np.ones(4), "layer1.0.act2.weight": np.ones(4)}
    with pytest.raises(ValueError, match="must be those of `model`") as caught:
        rl.load_weights_from(model, source)
    assert str(caught.value).endswith(hint)


# --- what no tensor reveals ----------------------------------------------------------------------


def numerics(variant: str, skip: tuple[str, ...] = (), **changes: Any) -> list[str]:
    """The warnings of loading weights that fit, which point at whoever loads."""
    model = rl.ResNet.from_variant(variant, **{**TINY, **changes})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rl.load_weights_from(model, tensors(model), skip=skip)
    ours = [warning for warning in caught if warning.category is UserWarning]
    assert {warning.filename for warning in ours} <= {__file__}
    return [str(warning.message) for warning in ours]


NEVER = "The outputs of `model` will not be those of timm with the same weights, "
# Where timm's constructor has an argument for it.
IF_TOLD = (
    "The outputs of `model` will be those of timm with the same weights only where timm was told "
    "the same, "
)


@pytest.mark.parametrize(
    ("variant", "changes", "differences"),
    [
        (
            "resnet50",
            {"strides_on": "first", "epsilon": 1e-3},
            "epsilon=0.001 (not 1e-05), strides_on='first' (not '3x3')",
        ),
        ("resnet18", {"padding": "same"}, "padding='same' (not 'symmetric')"),
        (
            "resnetv2_50",
            {"strided_block": "last", "blocks": (2, 2)},
            "strided_block='last' (not 'first')",
        ),
        ("resnetv2_50d_evos", {"activation": "gelu"}, "activation='gelu' (not None)"),
        (
            "resnetv2_18",
            {"stem": {"filters": 4, "pooling": None}},
            "pooling=None (not 'max')",
        ),
        (
            "resnet18",  # no network of timm differs from part to part
            {"stem": {"filters": 4, "style": rl.BlockStyle(epsilon=1e-3)}},
            "epsilon=0.001 (not 1e-05)",
        ),
    ],
)
def test_numerics_that_no_tensor_reveals_are_a_warning(
    variant: str, changes: dict[str, Any], differences: str
) -> None:
    assert numerics(variant, **changes) == [f"{NEVER}since it computes with {differences}"]


@pytest.mark.parametrize(
    ("variant", "changes", "differences"),
    [
        *(
            (variant, changes, differences)
            for variant in ("resnet18", "resnetv2_18")
            for changes, differences in (
                ({"activation": "gelu"}, "activation='gelu' (not 'relu')"),
                ({"epsilon": 1e-3}, "epsilon=0.001 (not 1e-05)"),
            )
        ),
        (
            "resnetv2_50x1_bit",
            {"standardize_kernels": False, "stem": {"filters": 4, "pooling": "max"}},
            "standardize_kernels=False (not True), pooling='max' (not 'zero_padded_max')",
        ),
        ("resnetv2_18", {"standardize_kernels": True}, "standardize_kernels=True (not False)"),
        ("resnetv2_50d", {"shortcut": "B"}, "shortcut='B' (not 'D')"),
        ("resnetv2_50", {"shortcut": "D"}, "shortcut='D' (not 'B')"),
    ],
)
def test_what_timm_can_be_told_is_no_false_alarm(
    variant: str, changes: dict[str, Any], differences: str
) -> None:
    assert numerics(variant, **changes) == [f"{IF_TOLD}since it computes with {differences}"]


@pytest.mark.share(4)
@pytest.mark.parametrize(
    "variant",
    [
        *("resnet18", "resnet50d", "seresnet50", "resnetblur50", "resnetaa50", "resnet50_gn"),
        *("resnetv2_50", "resnetv2_50d_evos", "resnetv2_50d_frn", "resnetv2_50x1_bit"),
    ],
)
def test_networks_as_they_are_give_no_warning(variant: str) -> None:
    assert numerics(variant) == []


@pytest.mark.parametrize(
    "variant", ["resnet50_gn", "resnetv2_18", "resnetv2_50d_evos", "resnetv2_50d_frn"]
)
def test_epsilon_of_every_normalization_is_compared(variant: str) -> None:
    (message,) = numerics(variant, epsilon=1e-3)
    assert message.endswith("it computes with epsilon=0.001 (not 1e-05)")


@pytest.mark.parametrize(
    ("variant", "changes"),
    [
        ("resnet18", {"strides_on": "first"}),  # a basic block has one place for its strides
        ("resnet18", {"normalization": None, "epsilon": 1e-3}),
        ("resnet50", {"strides_on": "first", "skip": ("stage1", "stage2")}),
    ],
)
def test_fields_that_change_no_output_are_no_warning(variant: str, changes: dict[str, Any]) -> None:
    assert numerics(variant, **changes) == []


CHECKED_DAILY = [("resnet18", "flat bottlenecks"), ("resnetv2_18", "dilated bottlenecks")]
GEOMETRIES: dict[str, dict[str, Any]] = {
    "": {},
    "blocks": {"blocks": (2, 2)},
    "bottleneck": {"bottleneck": True},
    "flat": {"strides": (1, 1), "stem": {"kernel_size": 3, "strides": 1, "pooling": None}},
    "flat stages": {"strides": (1, 1), "blocks": (2, 2)},
    "flat bottlenecks": {"strides": (1, 1), "bottleneck": True},
    "dilated": {"output_stride": 8, "filters": (4, 8, 8), "blocks": (1, 1, 1)},
    "dilated bottlenecks": {
        "bottleneck": True,
        "output_stride": 8,
        "filters": (4, 8, 8),
        "blocks": (1, 2, 1),
    },
    "unpooled": {"strides": (1, 2), "stem": {"strides": 1, "kernel_size": 1, "pooling": None}},
}
FIELDS: dict[str, Any] = {
    "activation": "silu",
    "epsilon": 0.1,
    "padding": "same",
    "strides_on": "first",
    "strided_block": "last",
    "shortcut": "D",
    "standardize_kernels": True,
    "anti_aliasing": "average",
}


@pytest.mark.slow
@pytest.mark.share(2)
@pytest.mark.parametrize(
    ("variant", "geometry"),
    [
        pytest.param(
            variant,
            geometry,
            marks=[] if (variant, geometry) in CHECKED_DAILY else pytest.mark.slow,
        )
        for variant in ("resnet18", "resnetv2_18")
        for geometry in GEOMETRIES
    ],
)
def test_a_field_is_a_warning_where_it_changes_outputs(variant: str, geometry: str) -> None:
    arguments = {**TINY, **GEOMETRIES[geometry]}
    arguments["stem"] = {**TINY["stem"], **arguments["stem"]}
    model = randomize(rl.ResNet.from_variant(variant, **arguments))
    x, source = images(1, 22, 24, 3), tensors(model)
    for field, other in FIELDS.items():
        if variant == "resnet18" and field in ("shortcut", "anti_aliasing"):
            continue  # which names tell, and which timm's networks differ in
        changed = rl.ResNet.from_variant(variant, **arguments, **{field: other})
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            rl.load_weights_from(changed, source)
        said = any(f"{field}=" in str(warning.message) for warning in caught)
        assert said == (relative_difference(changed(x), model(x)) > 1e-5), field


def test_warning_that_is_an_error_changes_nothing() -> None:
    model = randomize(rl.ResNet.from_variant("resnet18", padding="same", **TINY), seed=1)
    before = model.get_weights()
    with pytest.raises(UserWarning, match="padding='same'"):
        rl.load_weights_from(model, tensors(tiny()))
    assert_untouched(model, before)


@pytest.mark.slow
@pytest.mark.share(2)
def test_network_of_torch_with_weights_of_keras_is_a_warning() -> None:
    small: dict[str, Any] = {"blocks": (3, 4, 6, 3), "filters": (64, 128, 256, 512), "classes": 7}
    original = keras_original("keras_resnet50")
    # In all that has tensors it is the network of keras.applications.
    model = rl.ResNet.from_variant("resnet50", use_bias=True, **small)
    with pytest.warns(UserWarning, match="will not be those of keras") as caught:
        rl.load_weights_from(model, original)
    assert [str(w.message) for w in caught if w.category is UserWarning] == [
        "The outputs of `model` will not be those of keras.applications with the same weights, "
        "since it computes with epsilon=1e-05 (not 1.001e-05), strides_on='3x3' (not 'first')"
    ]


@pytest.mark.slow
@pytest.mark.share(2)
def test_keras_weights_bring_their_preprocessing_once(tmp_path: Path) -> None:
    original = keras_original("keras_resnet50")
    model = rl.ResNet.from_variant("keras_resnet50", classes=7, metadata={"a": 1})
    rl.load_weights_from(model, original)
    assert rl.preprocessing(model).channels == "bgr"
    assert model.metadata["a"] == 1
    model.metadata = {"preprocessing": "mine"}
    rl.load_weights_from(model, original)
    assert model.metadata == {"preprocessing": "mine"}


# --- messages ------------------------------------------------------------------------------------


NAMED = ("message", "hint")


def texts(tree: ast.AST) -> str:
    """All pieces of text in it."""
    pieces = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return "\n".join(piece for piece in pieces if isinstance(piece, str))


def test_text_of_every_error_is_in_a_test() -> None:
    tests = "\n".join(
        texts(ast.parse(path.read_text())) for path in Path(__file__).parent.glob("test_*.py")
    )
    missing = []
    for path in Path(weights.__file__).parent.glob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, ast.FunctionDef):
                continue
            raised = [node for node in ast.walk(function) if isinstance(node, ast.Raise)]
            # A message with a name of its own is an assignment to `message` or `hint`.
            named = [
                node
                for node in ast.walk(function)
                if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in NAMED
            ]
            pieces = "\n".join(map(texts, [*raised, *named])).splitlines()
            missing += [piece for piece in pieces if piece.strip(" '.,()") not in tests]
    assert missing == []
