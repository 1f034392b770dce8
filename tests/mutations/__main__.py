# ruff: noqa: T201 (printing is what commands are for)
"""Whether some test fails for each mutation of the package.

One run of the tests under coverage.py tells which tests execute which lines. Each mutation, in a
copy of the checkout, then meets the tests that execute its lines, quick ones first; and if none of
them fails, all tests. A test that fails without the mutation as well proves nothing, and is left
out.
"""

import argparse
import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutations.covering import Covering, changed_lines
from tests.mutations.table import MUTATIONS, Mutation

_PACKAGE = Path(__file__).parents[2] / "resnet_layers"
# Of a checkout, what its tests do not need; and the test that would see every mutation.
_LEFT_OUT = shutil.ignore_patterns(
    *(".git", "*venv", "__pycache__", ".*_cache", ".hypothesis", ".benchmarks", "resnet_run"),
    "test_mutations.py",
)
_MEASURING = Path(__file__).with_name("measuring")
# Lines that run in another process belong to the test that has started it.
_SETTINGS = """\
[run]
source = {package}
parallel = True
context = ${{PYTEST_CURRENT_TEST-outside}}
"""
_FAILURE = re.compile(r"^(?:FAILED|ERROR) (\S.*?::.*?)(?: - (.*))?$", re.MULTILINE)
_LATE = "not over within the limit of time"
_SECONDS = {"covering": 900.0, "everything": 10800.0}
# The quick tests, and all of the tables and files of which a run takes a share.
_TESTS = ("-m", "not slow or share")
_MEASURED = ("-n", "auto", "-q", "-p", "no:cacheprovider", "-p", "current_test", "--durations=0")
_OPTIONS = ("-x", "-q", "-rfE", "--tb=no", "-p", "no:cacheprovider", "--timeout=300")


@dataclasses.dataclass(frozen=True)
class Result:
    """What became of a mutation.

    Args:
        name: The mutation's.
        room: The mutation's.
        status: `"caught"`; `"timeout"` if the test that failed took too long; `"survived"`;
            `"broken"` if no test could start, so that the mutation asks nothing of them.
        run: Which tests it met last, `"covering"` or `"everything"`.
        test: The one that failed.
        message: What it said.
        covering: Number of tests that execute its lines.
        seconds: For all of its runs.
    """

    name: str
    room: str
    status: str
    run: str
    test: str = ""
    message: str = ""
    covering: int = 0
    seconds: float = 0.0


class Laboratory:
    """Copies of a checkout, and runs of their tests.

    Args:
        package: The folder of the package, in a checkout with its tests.
        folder: Where the copies are made.
    """

    def __init__(self, package: Path, folder: Path) -> None:
        self.package, self.folder = package, folder
        self.reliable: set[str] = set()
        self.unreliable: set[str] = set()
        self._copies = 0
        self._lock = threading.Lock()
        self._clean = self._copy()
        code = f"import {package.name}; print({package.name}.__file__)"
        _, found = _run(["-c", code], self._clean, 120.0, cwd=folder)
        if not found.strip().endswith(str(self._clean / package.name / "__init__.py")):
            raise SystemExit(f"The tests must import the copy of the package. Received: {found}")

    def judge(self, mutation: Mutation, tests: Sequence[str], run: str) -> Result:
        """Runs tests against a mutation, `tests` or everything, until one fails."""
        start = time.monotonic()
        copy = self._copy()
        module = copy / self.package.name / mutation.module
        module.write_text(mutation.apply(module.read_text(encoding="utf-8")), encoding="utf-8")
        result = Result(mutation.name, mutation.room, "survived", run, covering=len(tests))
        while True:
            left_out = frozenset(self.unreliable)
            failed = self._first_failure(copy, tests, run, left_out)
            if failed is None:
                break
            test, message = failed
            judged = test and test not in left_out
            if judged and not self._passes_without(test):
                continue
            late = "Timeout" in message or "timed out" in message
            if not judged:
                status = "survived" if message == _LATE else "broken"
            else:
                status = "timeout" if late else "caught"
            result = dataclasses.replace(result, status=status, test=test, message=message)
            break
        shutil.rmtree(copy)
        return dataclasses.replace(result, seconds=round(time.monotonic() - start, 1))

    def _first_failure(
        self, copy: Path, tests: Sequence[str], run: str, left_out: Collection[str]
    ) -> tuple[str, str] | None:
        """The test that failed and its message; no test where none could start."""
        options = [*_OPTIONS, *(f"--deselect={test}" for test in sorted(left_out))]
        if run == "covering":
            chosen = self.folder / f"{copy.name}.txt"
            chosen.write_text("\n".join(tests), encoding="utf-8")
            options += ["-n", "0", f"@{chosen}"]
        else:
            options += ["-n", "auto", *_TESTS]
        code, output = _run(["-m", "pytest", *options], copy, _SECONDS[run])
        if code is None:
            return "", _LATE
        if code in (0, 5):  # none has failed, or none is left
            return None
        failure = _FAILURE.search(output)
        last = output.strip().rpartition("\n")[2]
        return (failure[1], failure[2] or "") if failure else ("", last)

    def _passes_without(self, test: str) -> bool:
        if test not in self.reliable:
            code, _ = _run(["-m", "pytest", *_OPTIONS, "-n", "0", test], self._clean, 600.0)
            (self.unreliable if code else self.reliable).add(test)
        return test in self.reliable

    def _copy(self) -> Path:
        with self._lock:
            self._copies += 1
            copy = self.folder / f"copy{self._copies}"
        shutil.copytree(self.package.parent, copy, symlinks=True, ignore=_LEFT_OUT)
        return copy


def _run(
    arguments: list[str], checkout: Path, limit: float, cwd: Path | None = None, **environment: str
) -> tuple[int | None, str]:
    """Exit code and output of Python with a checkout's package; `None` after the limit."""
    # Of a test that runs this command, nothing is passed on.
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=cwd or checkout,
        env={
            **inherited,
            "SHARE": "all",
            "PYTHONPATH": str(checkout),
            "COLUMNS": "400",
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # so that what the tests have started ends with them
    )
    try:
        output, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        return None, ""
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return process.returncode, output


def measure(package: Path, path: Path) -> None:
    """Runs all tests, and notes which lines each of them executes and how long it takes."""
    import coverage

    with tempfile.TemporaryDirectory() as name:
        settings = Path(name, "settings.ini")
        settings.write_text(_SETTINGS.format(package=package), encoding="utf-8")
        code, output = _run(
            ["-m", "pytest", *_MEASURED, *_TESTS],
            package.parent,
            _SECONDS["everything"],
            PYTHONPATH=f"{_MEASURING}{os.pathsep}{package.parent}",
            COVERAGE_PROCESS_START=str(settings),
            COVERAGE_FILE=str(Path(name, "data")),
        )
        if code:
            raise SystemExit(f"All tests must pass before a mutation is made.\n{output[-2000:]}")
        measured = coverage.Coverage(data_file=str(path), config_file=str(settings))
        measured.combine([str(data) for data in Path(name).glob("data.*")])
        measured.save()
    Path(f"{path}.txt").write_text(output, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Judges mutations, and prints a line for each.

    Returns:
        0 if tests fail for all of them, otherwise 1.
    """
    parser = argparse.ArgumentParser("python -m tests.mutations", description=__doc__)
    add = parser.add_argument
    add("--only", nargs="+", metavar="NAME", choices=[m.name for m in MUTATIONS])
    add("--coverage", type=Path, metavar="FILE", help="what the first run notes; made if missing")
    add("--workers", type=int, default=os.cpu_count() or 1, help="mutations side by side")
    add("--results", type=Path, metavar="FILE.json", help="to write the results to")
    add("--package", type=Path, default=_PACKAGE, metavar="DIR")
    add("--covering-only", action="store_true", help="spare survivors the run of all tests")
    options = parser.parse_args(arguments)
    package = options.package.resolve()
    chosen = [m for m in MUTATIONS if not options.only or m.name in options.only]
    results: dict[str, Result] = {}

    def tell(result: Result) -> None:
        before = results.get(result.name)
        if before:
            seconds = round(before.seconds + result.seconds, 1)
            result = dataclasses.replace(result, covering=before.covering, seconds=seconds)
        results[result.name] = result
        says = f"{result.status:8}  {result.name}  {result.seconds:.0f} s  {result.test}"
        print(says, result.message[:100], flush=True)
        if options.results:
            rows = [dataclasses.asdict(row) for row in results.values()]
            options.results.write_text(json.dumps(rows, indent=1), encoding="utf-8")

    with tempfile.TemporaryDirectory() as name:
        data = (options.coverage or Path(name, "coverage")).resolve()
        if not data.exists():
            measure(package, data)
        covering, laboratory = Covering(data), Laboratory(package, Path(name).resolve())

        def first(mutation: Mutation) -> None:
            source = (package / mutation.module).read_text(encoding="utf-8")
            changed = changed_lines(mutation.old, mutation.new, source)
            tests = covering.tests(f"{package.name}/{mutation.module}", source, changed)
            nothing = Result(mutation.name, mutation.room, "survived", "covering")
            tell(laboratory.judge(mutation, tests, "covering") if tests else nothing)

        with ThreadPoolExecutor(options.workers) as pool:
            list(pool.map(first, chosen))
        for mutation in chosen if not options.covering_only else ():
            if results[mutation.name].status == "survived":
                tell(laboratory.judge(mutation, (), "everything"))
    if laboratory.unreliable:
        print("These fail without a mutation:", *sorted(laboratory.unreliable), sep="\n  ")
    counts = Counter(result.status for result in results.values())
    print(", ".join(f"{count} {status}" for status, count in counts.items()))
    return int(counts["survived"] + counts["broken"] > 0)


if __name__ == "__main__":
    sys.exit(main())
