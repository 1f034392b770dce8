"""Which operators a SavedModel of `export` can have, since TensorFlow runs whatever is in it."""

import functools
import importlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from resnet_layers._support import checks

PARTS = {"saved_model.pb", "fingerprint.pb", "variables", "assets", "assets.extra"}
# TensorFlow's modules of operators on tensors.
_MODULES = (
    *("math", "array", "nn", "linalg", "bitwise", "special_math", "image"),
    *("spectral", "list"),
    *("control_flow", "functional"),
)
# What these have beside: it ends the process, reads a file, or is no part of a network.
_OTHERS = ("Abort", "ImmutableConst", "Debug", "Decode", "Encode", "ExtractJpeg")
# What keeps or runs something, and reaches nothing but variables and functions; and what the
# module of queues has beside them.
_ALSO = {"DynamicPartition", "DynamicStitch"}
_ALSO |= {"StatefulPartitionedCall", "Case", "If", "While", "VarHandleOp", "ReadVariableOp"}
_ALSO |= {"AssignVariableOp", "VarIsInitializedOp", "DisableCopyOnRead"}
# In the functions that TensorFlow writes for its own savers, which nothing else may call.
_OF_SAVERS = {"SaveV2", "RestoreV2", "MergeV2Checkpoints", "ShardedFilename", "StringJoin"}
_OF_SAVERS |= {"StaticRegexFullMatch"}


def check_operators(folder: Path) -> None:
    """Refuses a SavedModel that could do anything else than compute, before it is loaded.

    Raises:
        ValueError: With the names of the operators that `export` never writes.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    others = sorted(path.name for path in folder.iterdir() if path.name not in PARTS)
    if others:  # TensorFlow prefers other files to `saved_model.pb`
        raise ValueError(f"{checks.some(others)} in it must not be there")
    program = saved_model_pb2.SavedModel()
    program.ParseFromString((folder / "saved_model.pb").read_bytes())
    found = sorted({op for graph in program.meta_graphs for op in _unknown(graph)})
    if found:
        raise ValueError(
            "a SavedModel is a program, and must have no operators but those that `export` writes. "
            f"Received: {checks.some(found)}"
        )


def _unknown(graph: Any) -> Iterator[str]:
    """Operators that `export` never writes, or not there."""
    saver = graph.saver_def
    tensors = (saver.save_tensor_name, saver.restore_op_name)
    callers = {name.partition(":")[0] for name in tensors}
    called: set[str] = set()
    for node in graph.graph_def.node:
        if node.name in callers:
            called |= set(_functions(node))
        yield from () if _computes(node.op) else (node.op,)
    functions = {one.signature.name: one.node_def for one in graph.graph_def.library.function}
    reachable = set(graph.object_graph_def.concrete_functions)
    for node in graph.graph_def.node:
        reachable |= set() if node.name in callers else set(_functions(node))
    for node in itertools.chain(*functions.values()):
        reachable |= set(_functions(node))
    for name, nodes in functions.items():
        saves = name in called and name not in reachable
        yield from (
            n.op for n in nodes if not _computes(n.op) and not (saves and n.op in _OF_SAVERS)
        )


def _functions(node: Any) -> Iterator[str]:
    """The functions that a node calls."""
    for value in node.attr.values():
        yield from (one.name for one in (value.func, *value.list.func) if one.name)


def _computes(name: str) -> bool:
    """Whether an operator makes tensors of tensors, and nothing else."""
    from tensorflow.python.framework import op_def_registry

    if name in _ALSO:
        return True
    known = op_def_registry.get(name)
    if known is None or known.is_stateful or name.startswith(_OTHERS):
        return False
    return any(hasattr(module, name) for module in _modules())


@functools.cache
def _modules() -> list[Any]:
    return [importlib.import_module(f"tensorflow.python.ops.gen_{name}_ops") for name in _MODULES]
