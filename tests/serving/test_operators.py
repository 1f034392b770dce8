"""SavedModels are programs: what could do more than compute is refused before it is loaded."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest
import tensorflow as tf
from tensorflow.python.framework import op_def_registry

import resnet_layers as rl
from resnet_layers.serving import operators
from tests.serving.test_export import network, write

# Of TensorFlow's operators: what reads or writes files, talks to others, runs Python, or ends the
# process, as far as names tell.
REACHES_OUT = re.compile(
    "File|Write|Save|Restore|Checkpoint|Print|PyFunc|Dataset|Iterator|Queue|Reader|Table|Summary"
    "|^Debug(Identity|N)|Remote|Collective|Rpc|Abort|ImmutableConst|(De|En)codeProto|Session"
    "|FilesystemOp|Barrier|Stage|Send$|Recv$|Vocab|Tpu|TPU"
)


def test_nothing_that_reaches_out_computes() -> None:
    named = [name for name in dir(tf.raw_ops) if name[0].isupper() and op_def_registry.get(name)]
    found = [name for name in named if REACHES_OUT.search(name)]
    assert len(found) > 200
    assert [name for name in found if operators._computes(name)] == []
    stateful = {name for name in named if op_def_registry.get(name).is_stateful}
    assert {name for name in stateful if operators._computes(name)} == operators._ALSO & stateful


def saved(folder: Path, call: Callable[[Any], Any]) -> Path:
    """A function as a SavedModel."""
    module = tf.Module()
    module.serve = tf.function(call, input_signature=[tf.TensorSpec((None, 8, 8, 3))])
    tf.saved_model.save(module, str(folder / "model"))
    return folder / "model"


def writes(x: Any) -> Any:
    tf.io.write_file("written", "by a model")
    return x


def reads(x: Any) -> Any:
    return x + tf.strings.to_number(tf.io.read_file("number"))


def saves(x: Any) -> Any:
    """By an operator that every SavedModel has, but elsewhere."""
    tf.raw_ops.SaveV2(prefix="written", tensor_names=["x"], shape_and_slices=[""], tensors=[x])
    return x


def within(x: Any) -> Any:
    return tf.cond(tf.size(x) > 0, lambda: writes(x), lambda: x)


PROGRAMS: dict[Callable[[Any], Any], str] = {
    writes: "'WriteFile'",
    reads: "'ReadFile', 'StringToNumber'",
    saves: "'SaveV2'",
    within: "'WriteFile'",
    lambda x: tf.py_function(lambda y: y, [x], tf.float32): "'EagerPyFunc'",
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_that_reach_out_are_refused(tmp_path: Path, program: Any) -> None:
    with pytest.raises(ValueError, match="a SavedModel is a program") as caught:
        operators.check_operators(saved(tmp_path, program))
    assert str(caught.value).endswith(f"Received: {PROGRAMS[program]}")


def test_functions_of_savers_are_called_by_nobody_else(tmp_path: Path) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    path = saved(tmp_path, lambda x: x) / "saved_model.pb"
    operators.check_operators(path.parent)
    program = saved_model_pb2.SavedModel()
    program.ParseFromString(path.read_bytes())
    (graph,) = program.meta_graphs
    node = graph.saver_def.save_tensor_name.partition(":")[0]
    (saver,) = (one for one in graph.graph_def.node if one.name == node)
    another = graph.graph_def.node.add()
    another.CopyFrom(saver)
    another.name = "another"
    path.write_bytes(program.SerializeToString())
    with pytest.raises(ValueError, match="'SaveV2'"):
        operators.check_operators(path.parent)


@keras.saving.register_keras_serializable("resnet_layers_tests")
class Prints(keras.layers.Layer):
    def call(self, inputs: Any) -> Any:
        tf.print("seen")
        return inputs


def test_export_writes_no_such_program(tmp_path: Path) -> None:
    images = keras.Input((None, None, 3))
    model = keras.Model(images, network()(Prints()(images)))
    with pytest.raises(ValueError, match=r"nothing has been kept.*'PrintV2'"):
        rl.export(model, tmp_path / "model", format="tf_saved_model")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_networks_with_loops_are_exported(tmp_path: Path) -> None:
    images = keras.Input((8, 8, 3))
    model = keras.Model(images, keras.layers.LSTM(4)(keras.layers.Reshape((8, 24))(images)))
    write(model, tmp_path, "tf_saved_model")
