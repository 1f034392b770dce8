"""No constant of any graph is infinite or NaN: a quantized artifact's range would be."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.support.cases import CASES, Case


def constants(graph: Any) -> Iterator[np.ndarray]:
    """Those of a graph and of the functions in it."""
    definition = graph.as_graph_def()
    for node in (*definition.node, *(n for f in definition.library.function for n in f.node_def)):
        if node.op == "Const":
            yield tf.make_ndarray(node.attr["value"].tensor)


@pytest.mark.share(8)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_constants_are_finite(case: Case) -> None:
    layer = case.create()
    spec = tf.TensorSpec((None, *case.input_shape[1:]), tf.float32)
    graph = tf.function(layer).get_concrete_function(spec).graph
    for constant in constants(graph):
        if np.issubdtype(constant.dtype, np.number):
            assert np.isfinite(constant.astype("float64")).all()
