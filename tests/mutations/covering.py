"""Which tests execute a line of the package, from what coverage.py has noted of them."""

import ast
import functools
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# How contexts name tests: in their own process, where pytest-cov adds a word, and in others.
_CONTEXT = re.compile(r"(?:outside\|)?([^|:]+\.py::.+?)(?:\|(?:setup|run|teardown)| \(\w+\))?")
_DURATION = re.compile(r"([\d.]+)s (?:setup|call|teardown) +(\S.*)")
_QUICK = 1.0  # seconds
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def changed_lines(old: str, new: str, source: str) -> range:
    """The lines of a source, from 1, that differ when a snippet of it is replaced."""
    before, after = source.splitlines(), source.replace(old, new).splitlines()
    most = min(len(before), len(after))
    same = next((i for i in range(most) if before[i] != after[i]), most)
    alike = range(1, most - same + 1)
    tail = next((i - 1 for i in alike if before[-i] != after[-i]), most - same)
    return range(same + 1, max(len(before) - tail, same + 1) + 1)


def lines_to_cover(source: str, line: int) -> list[set[int]]:
    """Where a test must have been that could notice a mistake in a line, ever further around it.

    First the statement, if it is in a function; what is executed on import belongs to no test.
    Then the functions in what is around it, up to those of the module.
    """
    chain: list[Any] = [ast.parse(source)]
    while inner := next((node for node in _statements(chain[-1]) if line in _span(node)), None):
        chain.append(inner)
    around = [_bodies(node) for node in reversed(chain)]
    if line not in around[-1]:
        return around
    body = getattr(chain[-1], "body", None)  # of an `if` or the like, of which this is the head
    last = body[0].lineno - 1 if body else chain[-1].end_lineno
    return [set(range(chain[-1].lineno, max(last, line) + 1)), *around]


def _statements(node: Any) -> Iterable[ast.stmt]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield child
        else:  # handlers, cases and the like
            yield from _statements(child)


def _span(node: Any) -> range:
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
    return range(first, node.end_lineno + 1)


def _bodies(node: ast.AST) -> set[int]:
    functions = (inner for inner in ast.walk(node) if isinstance(inner, _FUNCTIONS))
    return {line for f in functions for line in range(f.body[0].lineno, (f.end_lineno or 0) + 1)}


class Covering:
    """The tests of each line, and how long they take.

    Args:
        path: A data file of coverage.py, with `path.txt` beside it: what pytest has printed with
            `--durations=0`.
    """

    def __init__(self, path: Path) -> None:
        import coverage

        self._data = coverage.CoverageData(str(path))
        self._data.read()
        self._seconds: dict[str, float] = {}
        for seconds, test in _DURATION.findall(Path(f"{path}.txt").read_text(encoding="utf-8")):
            self._seconds[test] = self._seconds.get(test, 0.0) + float(seconds)

    def tests(self, module: str, source: str, lines: Iterable[int]) -> list[str]:
        """The tests that can notice a mistake in a line, quick ones and those of quick files first.

        Args:
            module: A file, by its path from the folder of the package's folder.
            source: What stands in it.
            lines: Numbers of lines, from 1.
        """
        by_line = self._by_line(module)
        found: set[str] = set()
        for line in lines:
            tests = (
                {test for near in around for test in by_line.get(near, ())}
                for around in lines_to_cover(source, line)
            )
            found |= next(filter(None, tests), set())
        files: dict[str, float] = {}
        for test in found:
            file = test.partition("::")[0]
            files[file] = files.get(file, 0.0) + self._seconds.get(test, 0.0)

        def order(test: str) -> tuple[bool, float, str]:
            return self._seconds.get(test, 0.0) > _QUICK, files[test.partition("::")[0]], test

        return sorted(found, key=order)

    @functools.cache  # noqa: B019 (there is one for the life of the process)
    def _by_line(self, module: str) -> dict[int, set[str]]:
        by_line: dict[int, set[str]] = {}
        for file in self._data.measured_files():
            if Path(file).as_posix().endswith(f"/{module}"):
                for line, contexts in self._data.contexts_by_lineno(file).items():
                    tests = (_CONTEXT.fullmatch(context) for context in contexts)
                    by_line.setdefault(line, set()).update(test[1] for test in tests if test)
        return by_line
