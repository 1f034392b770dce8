"""Seeds, Hypothesis profiles and quiet logs for all tests."""

import datetime
import gc
import itertools
import os
import signal
import zlib
from collections.abc import Generator
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# XLA compiles in 70 % of the time, to programs that run once or twice. `.ci/run` has the slow
# tests, which compile every layer again, at the level that users have.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

# What this machine can do is none of the tests' business, which measure none and keep none.
os.environ["RESNET_LAYERS_CACHE"] = os.path.join(os.devnull, "cache")

# A shell that starts tests in the background has them ignore Ctrl-C, which some of them send.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest
from hypothesis import settings

pytest.register_assert_rewrite("tests.support.messages")  # for what it compares to be shown

# `HYPOTHESIS_PROFILE=thorough pytest` looks further; the quick profile is the default.
settings.register_profile("quick", max_examples=12, deadline=None, print_blob=True)
settings.register_profile("thorough", max_examples=300, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


# Keras makes objects by the million and keeps most of them: Python looks for garbage less often.
gc.set_threshold(50_000, 20, 50)


# Files of minutes come first, or a worker is left with one of them when the others are done.
_LONG = (
    "tuning/test_search.py",
    "shell/test_command_line.py",
    "docs/test_docs.py",
    "tuning/test_distributed.py",
    "serving/test_export.py",
    "layers/test_every_layer.py",
    "tuning/test_training.py",
    "networks/test_reference_outputs.py",
    "networks/test_saving.py",
    "layers/test_rematerialization.py",
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """The tests of a file share fixtures and networks, so that `-n` hands out whole files."""
    if config.option.dist != "load":  # asked for
        return None
    from xdist.scheduler import LoadFileScheduling

    config.option.loadscopereorder = False  # by their number of tests
    # xdist 3.8 waits for ever where a worker that crashed had files left; the run ends and says so.
    config.option.maxworkerrestart = "0"
    return LoadFileScheduling(config, log)


def pytest_collection_finish() -> None:
    """What was imported stays: no search for garbage looks at it again."""
    gc.freeze()


_tests = itertools.count()


@pytest.fixture(autouse=True)
def _fresh_state() -> None:
    """Every test starts from the same seed and the default policies.

    With a seed TensorFlow also forgets every kernel it has made, which takes longer to repair than
    most tests take. The seeds that it means are those of random operations outside of functions,
    and neither Keras nor this package has any. They are forgotten now and then, for their memory.
    """
    import keras  # not above: the process that hands out the tests of `-n` needs none
    from tensorflow.python import pywrap_tfe

    with pytest.MonkeyPatch.context() as patch:
        if next(_tests) % 400:
            patch.setattr(pywrap_tfe, "TFE_ContextClearCaches", lambda _: None)
        keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("float32")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tests marked `upstream` fail when somebody else's fault is mended.

    That is news for the gate, which sets `UPSTREAM=strict`, and no reason for the README's command
    to fail after an update of Keras.
    """
    report = yield
    if report.failed and "upstream" in item.keywords and os.environ.get("UPSTREAM") != "strict":
        report.outcome = "skipped"
        report.wasxfail = "mended upstream? See docs/upstream.md"
    return report


def pytest_configure(config: pytest.Config) -> None:
    # In the environment, for the processes that `-n` starts to take the same.
    os.environ.setdefault("SHARE", str(datetime.date.today().toordinal()))


def pytest_report_header() -> str:
    return f"SHARE={os.environ['SHARE']} of the tables marked `share`; SHARE=all takes all of them"


def _leave_to_the_night(items: list[pytest.Item], day: int) -> None:
    """Of a table marked `share(n)`, each n-th case stays in a run, others on the next day.

    A table is a test with parameters, or all of a file's tests that are marked and have none; a
    slow one has four times as many days. The other slow tests are one table, of which each 48th
    stays; those of the attack, which have shares of their own, are another one, of 12 days. Tables
    begin on different days, so that no day has the first case of all of them.
    """
    places: dict[str, int] = {}
    for item in items:
        if share := item.get_closest_marker("share"):
            name, bracket, _ = item.nodeid.partition("[")
            table = name if bracket else name.partition("::")[0]
            number = share.args[0] * (4 if "slow" in item.keywords else 1)
        elif "slow" in item.keywords and "huge" not in item.keywords:
            table, number = ("attack", 12) if "attack" in item.path.parts else ("slow", 48)
        else:
            continue
        place = places[table] = places.get(table, zlib.crc32(table.encode())) + 1
        if (place + day) % number:
            item.add_marker("slow")
            item.add_marker("huge")


@pytest.hookimpl(tryfirst=True)  # before `-m` looks at the markers
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves tests marked `slow` out unless `-m` asks for markers, or a test is named."""
    items.sort(key=lambda item: not item.path.as_posix().endswith(_LONG))
    named = any("::" in argument for argument in config.args)
    if os.environ["SHARE"] != "all" and not named:
        _leave_to_the_night(items, int(os.environ["SHARE"]))
    if config.option.markexpr or named:
        return
    skip = pytest.mark.skip(reason="slow: run with `-m slow`")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skip)
