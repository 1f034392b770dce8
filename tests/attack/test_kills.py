"""Every command, killed at every call that renames, links, removes, makes or truncates a file."""

import functools
import json
import os
import pickle
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import resnet_layers as rl
from resnet_layers._support import files
from resnet_layers.analysis.latency import machine
from resnet_layers.networks import variants
from tests.attack import writers
from tests.attack.figures import counted
from tests.attack.writers import CASES, READERS, WRITERS, Writer
from tests.package.test_files import CALLS, calls_in, can_kill_at_calls
from tests.shell.test_command_line import TINY, write_photos
from tests.shell.test_tune_state import TINY as SPACE
from tests.support.measured import MACHINE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
]
WATCHED = f"{CALLS},symlink,symlinkat,mkdir,mkdirat"
by_case = pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.name))
traced = pytest.mark.skipif(not can_kill_at_calls(), reason="needs strace, and the right to use it")


class Commands:
    """A process that forks others, which run commands; and the folders that they begin with."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, 0
        self.ready: dict[tuple[str, ...] | None, Path] = {}
        given = pickle.dumps((TINY, SPACE)).hex()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.attack.forks", given],
            env={**os.environ, machine.VARIABLE: "cache"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._line() == "ready"

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def run(self, folder: Path, arguments: tuple[str, ...], **job: Any) -> str:
        """How a command ended in a folder: its exit code, or the signal as a negative number."""
        self._send(folder, arguments, waits=False, **{"stop": 0, **job})
        return self._line()

    def traced(self, folder: Path, arguments: tuple[str, ...], *options: str) -> str:
        """The same under strace."""
        self._send(folder, arguments, waits=True, stop=0)
        process = self._line()
        watch = ["strace", "-f", "-y", "-p", process, "-o", str(self.log(folder, "strace"))]
        strace = subprocess.Popen([*watch, "-e", f"trace={WATCHED}", *options], stderr=-1)
        assert strace.stderr is not None
        strace.stderr.readline()  # that it is attached
        subprocess.run(["kill", "-CONT", process], check=True)
        code = self._line()
        strace.communicate(timeout=60)
        return code

    def _send(self, folder: Path, arguments: tuple[str, ...], **job: Any) -> None:
        assert self.process.stdin is not None
        job |= {"folder": str(folder), "log": str(self.log(folder)), "arguments": arguments}
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()

    @staticmethod
    def log(folder: Path, ending: str = "log") -> Path:
        return folder.with_name(f"{folder.name}.{ending}")

    def begin(self, before: tuple[str, ...] | None) -> Path:
        """A new folder with what a command reads, and what another has written before."""
        if before not in self.ready:
            found = self.ready[before] = self.folder / f"before{len(self.ready)}"
            shutil.copytree(self.folder / "start", found)
            if before:
                assert self.run(found, before) == "0", self.log(found).read_text()
        self.count += 1
        folder = self.folder / str(self.count)
        shutil.copytree(self.ready[before], folder)
        return folder

    def close(self) -> None:
        self.process.communicate(timeout=60)  # and closes both pipes


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    folder = tmp_path_factory.mktemp("kills")
    start = folder / "start"
    write_photos(start / "photos")
    names = sorted(path.name for path in (start / "photos").iterdir())
    preprocessing = keras.saving.serialize_keras_object(rl.Preprocessing(image_size=8))
    metadata = {"class_names": names, "preprocessing": preprocessing}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(variants.VARIANTS, "tiny", TINY)
        for name in ("old", "new"):
            model = rl.ResNet.from_variant("tiny", classes=len(names), metadata=metadata)
            model.save(start / f"{name}.keras")
            rl.save_torch_weights(model, start / f"{name}.safetensors")
        patch.setenv(machine.VARIABLE, str(start / "cache"))
        MACHINE.write()
    found = Commands(folder)
    yield found
    found.close()


def hidden(folder: Path) -> set[str]:
    """What is not finished."""
    return {path.name for path in folder.rglob(".*") if files._NAME.fullmatch(path.name)}


class Outcome:
    """What a folder holds after a kill, compared with what it held before it."""

    def __init__(self, case: Writer, before: Path, folder: Path) -> None:
        self.case, self.folder = case, folder
        self.before = {name: writers.content(before / name) for name in case.outputs}

    def states(self) -> dict[str, str]:
        """Of each output: old, new or missing."""
        found = {}
        for name, before in self.before.items():
            content = writers.content(self.folder / name)
            found[name] = "old" if content == before else "new" if content else "missing"
        return found

    def faults(self) -> list[str]:
        """What is not as it should be, before and after the folders are tidied."""
        alone = len(self.case.outputs) == 1
        found = self._damaged() if alone or ".xml" not in self.case.outputs[0] else []
        for name in {Path(output).parent for output in self.case.outputs}:
            files.tidy(self.folder / name)
        states = self.states()
        if len({*states.values()}) > 1 or "missing" in states.values():
            found.append(f"mixed: {states}")
        return [*found, *self._damaged()]

    def _damaged(self) -> list[str]:
        found = []
        for name, state in self.states().items():
            try:
                if state == "new":
                    writers.check_whole(self.folder / name)
            except Exception as error:
                found.append(f"damaged: {name}: {error!r}")
        return found


def killed(commands: Commands, case: Writer, how: Any, names: set[str]) -> list[str]:
    """Kills a command, looks at what it has left, and runs it again."""
    folder = commands.begin(case.before)
    code = how(folder)
    if code != "-9":
        return [f"ended: {code}"]
    outcome = Outcome(case, commands.ready[case.before], folder)
    found = outcome.faults()
    if case.name == "tune anew":
        found += parted(commands.ready[case.before], folder)
    code = commands.run(folder, case.arguments)
    said = commands.log(folder).read_text(encoding="utf-8")
    if code != "0":
        found.append(f"next run: {code}: {said[-1000:]}")
    if case.name == "tune again" and not re.search(r"The search goes on after \d", said):
        found.append(f"lost: {said}")
    found += [f"said: {line}" for line in said.splitlines() if re.search("damaged|not used", line)]
    if {*outcome.states().values()} != {"new"}:
        found.append(f"not new: {outcome.states()}")
    if left := {*writers.digests(folder)} ^ names:
        found.append(f"left over: {left}")
    found += [f"hidden: {name}" for name in hidden(folder)]
    shutil.rmtree(folder)
    return found


def parted(before: Path, folder: Path) -> list[str]:
    """A search that begins anew takes the old one with its settings away, or nothing."""
    old, now = (writers.digests(each / "found") for each in (before, folder))
    mine = {name for name in old if name.startswith("search/")}

    def written(place: Path, name: str) -> int:
        return (place / "found" / name).stat().st_mtime_ns

    # By their times: the new search may write the same again.
    kept = {name for name in mine & {*now} if written(folder, name) == written(before, name)}
    lost = kept and (kept != mine or now["settings.json"] != old["settings.json"])
    return [f"parted: {kept}"] if lost else []


def finished(commands: Commands, case: Writer) -> tuple[set[str], list[str]]:
    """The files in the folder of a command that nobody kills, and the calls that made them."""
    folder = commands.begin(case.before)
    assert commands.run(folder, case.arguments) == "0", commands.log(folder).read_text()
    calls = commands.log(folder, "calls").read_text(encoding="utf-8").splitlines()
    assert not hidden(folder)
    return {*writers.digests(folder)}, calls


def kill_python(commands: Commands, case: Writer, at: int, folder: Path) -> str:
    """Ends a command at one of its calls."""
    return commands.run(folder, case.arguments, stop=at)


def kill_any(commands: Commands, case: Writer, at: tuple[str, int], folder: Path) -> str:
    """The same at a call of any of its threads and libraries."""
    inject = f"inject={at[0]}:signal=KILL:when={at[1]}"
    return commands.traced(folder, case.arguments, "-e", inject)


def calls_of_any(commands: Commands, case: Writer) -> dict[Any, str]:
    """The calls that reach the folder."""
    folder = commands.begin(case.before)
    code = commands.traced(folder, case.arguments)
    assert code == "0", commands.log(folder).read_text()
    found = calls_in(commands.log(folder, "strace"))
    return {at: call for at, call in found.items() if str(folder) in call}


def kill_at(
    commands: Commands, case: Writer, *, strace: bool = False, share: int = 0, seed: int = 0
) -> None:
    """Kills a command at its calls, or at a share of them."""
    names, made = finished(commands, case)
    calls: dict[Any, str] = dict(enumerate(made, start=1))
    kill: Any = kill_python
    if strace:
        calls, kill = calls_of_any(commands, case), kill_any
    moments = list(calls)
    assert moments
    random.Random(seed).shuffle(moments)
    who = "the system" if strace else "Python"
    failures: list[Any] = []
    with counted(f"kills of {case.name} at calls of {who}") as figures:
        for at in moments[: share or None]:
            found = killed(commands, case, functools.partial(kill, commands, case, at), names)
            figures["wrong" if found else "right"] += 1
            failures += [(at, calls[at], found)] if found else []
    assert not failures, "\n".join(map(repr, failures))


def test_every_command_is_in_the_table() -> None:
    assert {*WRITERS, *READERS} == writers.names()


@pytest.mark.parametrize("name", READERS)
def test_the_others_write_nothing(name: str, commands: Commands) -> None:
    folder = commands.begin(None)
    assert commands.run(folder, READERS[name]) == "0", commands.log(folder).read_text()
    assert not commands.log(folder, "calls").read_text()


@pytest.mark.parametrize(
    ("strace", "cases"), [(False, 2), pytest.param(True, 1, marks=traced)], ids=["Python", "any"]
)
def test_a_kill_at_some_call_leaves_all_old_or_all_new(
    commands: Commands, strace: bool, cases: int
) -> None:
    for i in np.random.default_rng(int(strace)).permutation(len(CASES))[:cases]:
        kill_at(commands, CASES[i], strace=strace, share=1, seed=int(i))


@pytest.mark.huge
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("strace", [False, pytest.param(True, marks=traced)], ids=["Python", "any"])
@by_case
def test_a_kill_at_any_call_leaves_all_old_or_all_new(
    case: Writer, strace: bool, commands: Commands
) -> None:
    kill_at(commands, case, strace=strace)
