"""Bounded geometries, styles and images for the laws."""

from typing import Any

from hypothesis import strategies as st

import resnet_layers as rl

SIDES = st.integers(1, 17)
NORMALIZATIONS = ["batch", "frozen_batch", "group", "evonorm_s0", "frn", None]
STRIDES = st.one_of(st.integers(1, 3), st.tuples(st.integers(1, 3), st.integers(1, 3)))


@st.composite
def styles(draw: st.DrawFn, /, **fixed: Any) -> dict[str, Any]:
    """The config of any valid style; `fixed` fields have one value."""
    fields: dict[str, Any] = {
        "activation": draw(st.sampled_from(["relu", "gelu", "tanh", None])),
        "normalization": draw(st.sampled_from(NORMALIZATIONS)),
        "epsilon": draw(st.sampled_from([1e-5, 1e-3])),
        "momentum": draw(st.sampled_from([0.0, 0.9, 0.99])),
        "preactivation": draw(st.booleans()),
        "use_bias": draw(st.sampled_from([True, False, "unnormalized"])),
        "standardize_kernels": draw(st.booleans()),
        "padding": draw(st.sampled_from(["symmetric", "same"])),
        "strides_on": draw(st.sampled_from(["3x3", "first"])),
        "strided_block": draw(st.sampled_from(["first", "last"])),
        "shortcut": draw(st.sampled_from(["A", "B", "C", "D", "none"])),
        "normalize_shortcut": draw(st.booleans()),
        "shortcut_kernel_size": draw(st.sampled_from([1, 3])),
        "attention": draw(st.sampled_from([None, "se", "eca"])),
        "anti_aliasing": draw(st.sampled_from([None, "blur", "average"])),
        "zero_init_last": draw(st.booleans()),
        "kernel_initializer": draw(st.sampled_from(["he_normal", "glorot_uniform"])),
        "kernel_regularizer": draw(st.sampled_from([None, "l2"])),
        **fixed,
    }
    if fields["shortcut"] == "none" or fields["normalization"] is None:
        fields["zero_init_last"] = False
    return fields


@st.composite
def block_geometries(draw: st.DrawFn) -> dict[str, Any]:
    """`filters`, `bottleneck`, `groups` and `group_width` that fit together."""
    groups = draw(st.integers(1, 2))
    return {
        "filters": groups * draw(st.integers(1, 3)),
        "bottleneck": draw(st.booleans()),
        "groups": groups,
        "group_width": draw(st.one_of(st.none(), st.integers(1, 3))),
    }


@st.composite
def stages(draw: st.DrawFn, /, **fixed: Any) -> dict[str, Any]:
    """The arguments of a stage."""
    style = draw(styles(**fixed))
    projection = style["shortcut"] == "C" or draw(st.booleans())
    return {
        **draw(block_geometries()),
        "blocks": draw(st.integers(1, 3)),
        "strides": draw(STRIDES) if projection else 1,
        "projection": projection,
        "style": style,
    }


def make_stage(arguments: dict[str, Any]) -> tuple[rl.ResNetStage, int]:
    """A stage, and a number of input channels that suits it."""
    stage = rl.ResNetStage(**arguments)
    # As few as the groups divide, where a projection allows it.
    return stage, stage.groups if stage.projection else stage.output_filters
