"""Lists in messages end after ten items, with a count."""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import resnet_layers as rl
from resnet_layers._support import checks
from resnet_layers.shell import app, images
from resnet_layers.shell.described import fitting
from resnet_layers.weights import readers
from tests.support.messages import modules

# What puts texts together by itself, since it is no list in a message or has a bounded number.
OTHERS = {
    ("_support/checks", "between.join(first)"),
    ("layers/_arguments", "''.join(found)"),
    # Names of axes, and sizes of one shape.
    ("layers/_shapes", "' or '.join((name for name in names if name != 'channels'))"),
    (
        "layers/_shapes",
        "', '.join((str(axis) if isinstance(axis, int) else 'None' for axis in axes))",
    ),
    ("layers/_shapes", "', '.join(names)"),
    ("layers/_shapes", "', '.join(layout.names)"),
    ("layers/head", "' and '.join(self.layout.pixels(self.layout.names))"),
    # Processes, which are waited for.
    ("analysis/studies/parallel", "parent.join()"),
    ("analysis/studies/parallel", "process.join()"),
    # What may be given, which this package says.
    ("networks/variant", "', '.join(sorted(known))"),
    ("tuning/parts", "', '.join(KINDS)"),
    ("weights/checkpoints", "', '.join((*_RAW, *_AVERAGED))"),
    ("weights/numerics", "' or '.join(map(repr, theirs))"),
    ("serving/formats", "' and '.join(missing)"),
    # A report.
    (
        "serving/report",
        "' × '.join(('any' if size is None else str(size) for size in self.input_shape))",
    ),
    ("serving/report", "', '.join((' × '.join(map(str, shape)) for shape in self.inputs))"),
    ("serving/report", "' × '.join(map(str, shape))"),
    ("serving/report", "' × '.join(map(str, self.latency_shape))"),
    ("serving/report", "''.join((f', {count} {name} left' for name, count in self.left.items()))"),
    ("serving/report", "'\\n'.join([f'{self.path}: {self.format}, {self.precision}', *lines])"),
    ("shell/listing", "', '.join(trainings)"),
    ("shell/progress", "', '.join(told)"),
    ("shell/finishing", "', '.join(files)"),
    ("shell/finishing", "', '.join(older)"),
    # Contents of files, and texts that are taken apart and put together again.
    (
        "_support/errors",
        "''.join((ascii(c)[1:-1] if category(c) in moves or c in turns else c for c in str(text)))",
    ),
    ("serving/seal", "b''.join((b'%s  %s\\n' % line for line in lines))"),
    ("serving/seal", "''.join(lines)"),
    ("shell/app", "''.join(traceback.format_exception(error))"),
    ("shell/app", "' '.join(str(error).split('\\n'))"),
    ("shell/config", "' '.join(commands)"),
    ("shell/errors", "'\\n'.join(lines)"),
    (
        "shell/evaluation",
        "''.join((f'<h2>{name}</h2>{text}\\n' for name, text in self.sections()))",
    ),
    ("shell/evaluation", "''.join([*lines, '</table>'])"),
    ("shell/evaluation", "''.join(found)"),
    ("training/labelled", "'\\n'.join(self.names)"),
    ("weights/sources", "'/'.join(name.removesuffix(':0').split('/')[-2:])"),
    ("analysis/parts", "'/'.join(self.path)"),
    ("analysis/profile", "'/'.join(path)"),
    ("analysis/profile", "'/'.join(o.path)"),
}
# Cells, rows and sizes of tables; labels and titles of drawings.
LAY_OUT = {
    *("analysis/tables", "analysis/comparison"),
    *("analysis/labels", "analysis/layout", "analysis/schematic", "analysis/svg"),
    *("analysis/stages", "analysis/sheets", "analysis/studies/results"),
    *("analysis/latency/prediction", "shell/latency"),
}


def joins(module: str, path: Path) -> set[tuple[str, str]]:
    """All that joins texts, but for the three lines of `Next:`."""
    return {
        (module, ast.unparse(node))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "join"
        and not ast.unparse(node.func).startswith(("os.path", "shlex", "thread"))
        and "Next:" not in ast.unparse(node)
    }


def test_every_list_is_made_by_the_function_that_ends_it() -> None:
    found = set().union(
        *(joins(module, path) for module, path in modules().items() if module not in LAY_OUT)
    )
    assert found - OTHERS == set(), "use `checks.some`"
    assert OTHERS - found == set()


def test_some_names_are_ten_and_a_count() -> None:
    names = [str(i) for i in range(1000)]
    assert checks.some(names[:2]) == "'0', '1'"
    assert checks.some(names[:10], str) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    assert checks.some(names, str) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 990 more"
    assert checks.some(names[:11], str, "\n").splitlines()[9:] == ["9", "and 1 more"]


MANY = [f"qqq{i}" for i in range(5000)]
UNKNOWN: Any = dict.fromkeys(MANY, 1)


def network() -> Any:
    return rl.ResNet(rl.Stem(4), [rl.ResNetStage(4, 1)], rl.ClassifierHead(3))


def load() -> None:
    rl.load_weights_from(network(), dict.fromkeys(MANY, np.zeros(1)))


def described() -> None:
    fitting(Path("a.keras"), dict.fromkeys(MANY), (8, 8, 3), (None, 3), "softmax")


def left_over() -> None:
    assert app.main(["train", *MANY]) == 2


LISTS: list[Callable[[], Any]] = [
    load,
    lambda: images.refuse(MANY),
    lambda: network().replace(**UNKNOWN),
    lambda: rl.ResNet.from_variant("resnet18", **UNKNOWN),
    lambda: readers._refuse_duplicates(MANY * 2),
    described,
    left_over,
]


@pytest.mark.parametrize("call", LISTS)
def test_a_message_about_thousands_of_things_is_short(
    call: Callable[[], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        call()
    except (TypeError, ValueError) as error:
        said = str(error)
    else:
        said = capsys.readouterr().err
    assert "more" in said
    assert sum(name in said.replace(",", " ").replace("'", " ").split() for name in MANY) <= 10
    assert len(said) < 1500
