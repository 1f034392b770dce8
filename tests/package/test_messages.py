"""Every error of the checks and of the environment: its type and its whole text."""

import contextlib
import os
import signal
from pathlib import Path
from typing import Any
from unittest.mock import patch

import keras
import pytest

from resnet_layers._support import checks, environment, signals
from resnet_layers._support.files import check_names, replacing
from tests.support.messages import ANY, Row, check, ids, missing

WING = "_support"


class NotComparable:
    """As an array of several numbers."""

    def __repr__(self) -> str:
        return "<not comparable>"

    def __eq__(self, other: object) -> Any:
        raise AssertionError("compared")

    __hash__ = None  # type: ignore[assignment]


def interrupted() -> None:
    with signals.as_interrupts():
        signal.raise_signal(signal.SIGINT)


def interrupted_before() -> None:
    with signals.as_interrupts():
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        signals.check()


def file_for_a_folder() -> None:
    Path("b.txt").mkdir()
    with replacing(Path("b.txt")) as (path,):
        path.touch()


def pipe_for_a_file() -> None:
    os.mkfifo("pipe")
    with replacing(Path("pipe")):
        pass


def with_keras_2() -> None:
    with patch.object(keras, "__version__", "2.15.0"):
        environment.check()


def with_variable(name: str, value: str) -> None:
    with patch.dict("os.environ", {name: value}):
        environment._check_variables()


def with_settings_in_a_folder() -> None:
    Path("keras.json").mkdir()
    with_variable("KERAS_HOME", ".")


LIST = "`blocks` must be a list of positive integers. Received: blocks="
EACH = "`drop_path` must have one value for each of 2 blocks. Received: drop_path="
FRACTION = "`drop_path` must be a number in [0, 1). Received: drop_path="
ERRORS: list[Row] = [
    (
        lambda: checks.scope("é"),
        ValueError,
        "`name` must be made of letters from a to z, digits, and `_`, `.`, `-` and `>`, since "
        "TensorFlow names scopes after it. Received: name='é'",
    ),
    (
        lambda: with_variable("TF_NUM_INTRAOP_THREADS", "-7"),
        ValueError,
        "the variable TF_NUM_INTRAOP_THREADS must be a number from 0 to 9999. Received: '-7'",
    ),
    (
        lambda: with_variable("TF_DETERMINISTIC_OPS", "yes"),
        ValueError,
        "the variable TF_DETERMINISTIC_OPS must be 0, 1, true or false. Received: 'yes'",
    ),
    (with_settings_in_a_folder, ValueError, "'./keras.json' must be a file"),
    (with_keras_2, ImportError, "resnet_layers needs Keras 3. Received: keras 2.15.0"),
    (
        lambda: checks.own_names({"filters": 3, "stride": 2}),
        TypeError,
        "`stride` must be given as `strides`. Received: stride=2",
    ),
    # Integers
    (
        lambda: checks.integer("filters", True),
        TypeError,
        "`filters` must be a positive integer. Received: filters=True",
    ),
    (
        lambda: checks.integer("filters", 2.0),
        TypeError,
        "`filters` must be a positive integer. Received: filters=2.0",
    ),
    (
        lambda: checks.integer("filters", 0),
        ValueError,
        "`filters` must be a positive integer. Received: filters=0",
    ),
    (
        lambda: checks.integer("seed", -1, minimum=0),
        ValueError,
        "`seed` must be an integer of at least 0. Received: seed=-1",
    ),
    (
        lambda: checks.seed(-1),
        ValueError,
        "`seed` must be an integer of at least 0. Received: seed=-1",
    ),
    (
        lambda: checks.seed(2**31, bits=31),
        ValueError,
        f"`seed` must be below 2**31. Received: seed={2**31}",
    ),
    (
        lambda: checks.epochs(10**7),
        ValueError,
        "`epochs` must be at most 1000000. Received: epochs=10000000",
    ),
    (lambda: checks.integers("blocks", 2), TypeError, f"{LIST}2"),
    (lambda: checks.integers("blocks", "22"), TypeError, f"{LIST}'22'"),
    (lambda: checks.integers("blocks", (1, 0)), ValueError, f"{LIST}(1, 0)"),
    (lambda: checks.integers("blocks", (1, 1.5)), TypeError, f"{LIST}(1, 1.5)"),
    (
        lambda: checks.widths("widths", [(1, 0)], 1),
        ValueError,
        "`widths` must be a list of positive integers. Received: widths=(1, 0)",
    ),
    (
        lambda: checks.sizes("strides", 0, 2),
        ValueError,
        "`strides` must be a positive integer or a pair of them. Received: strides=0",
    ),
    (
        lambda: checks.sizes("strides", (1, 1, 1), 2),
        ValueError,
        "`strides` must be a positive integer or a pair of them. Received: strides=(1, 1, 1)",
    ),
    (
        lambda: checks.sizes("strides", (1, 1), 3),
        ValueError,
        "`strides` must be a positive integer or three of them. Received: strides=(1, 1)",
    ),
    (
        lambda: checks.sizes("strides", (1, 1), 1),
        ValueError,
        "`strides` must be a positive integer or a list of one. Received: strides=(1, 1)",
    ),
    (
        lambda: checks.divisible("filters", 6, 4),
        ValueError,
        "`filters` must be divisible by `groups`. Received: filters=6, groups=4",
    ),
    # Other numbers
    (lambda: checks.fractions("drop_path", {}, 2), TypeError, f"{FRACTION}{{}}"),
    (lambda: checks.fractions("drop_path", [0.1], 2), ValueError, f"{EACH}[0.1]"),
    (lambda: checks.widths("drop_path", 0.1, 2), TypeError, f"{EACH}0.1"),
    (
        lambda: checks.inside("ema", 1),
        ValueError,
        "`ema` must be a number in (0, 1). Received: ema=1",
    ),
    (lambda: checks.fraction("drop_path", 1), ValueError, f"{FRACTION}1"),
    (lambda: checks.fraction("drop_path", "half"), TypeError, f"{FRACTION}'half'"),
    (lambda: checks.fraction("drop_path", False), TypeError, f"{FRACTION}False"),
    (
        lambda: checks.share("crop_pct", 0),
        ValueError,
        "`crop_pct` must be a number in (0, 1]. Received: crop_pct=0",
    ),
    (
        lambda: checks.positive("epsilon", float("inf")),
        ValueError,
        "`epsilon` must be a positive number. Received: epsilon=inf",
    ),
    (
        lambda: checks.positive("epsilon", 10**400),
        ValueError,
        f"`epsilon` must be a positive number. Received: epsilon={10**400}",
    ),
    (
        lambda: checks.not_negative("weight_decay", -1),
        ValueError,
        "`weight_decay` must be a number of at least 0. Received: weight_decay=-1",
    ),
    (
        lambda: checks.finite("low", float("nan")),
        ValueError,
        "`low` must be a finite number. Received: low=nan",
    ),
    (
        lambda: checks.three("std", 1.0, checks.positive),
        TypeError,
        "`std` must be three numbers. Received: std=1.0",
    ),
    (
        lambda: checks.three("std", (1.0, 1.0), checks.positive),
        ValueError,
        "`std` must be three numbers. Received: std=(1.0, 1.0)",
    ),
    # Choices and names
    (
        lambda: checks.boolean("fold", 1),
        TypeError,
        "`fold` must be True or False. Received: fold=1",
    ),
    (
        lambda: checks.choice("use_bias", 1, (True, False)),
        ValueError,
        "`use_bias` must be one of True, False. Received: use_bias=1",
    ),
    (
        lambda: checks.choice("use_bias", NotComparable(), (True, "no")),
        ValueError,
        "`use_bias` must be one of True, 'no'. Received: use_bias=<not comparable>",
    ),
    (
        lambda: checks.known_name("variant", 50, ["a"]),  # type: ignore[arg-type]
        TypeError,
        "`variant` must be a name. Received: variant=50",
    ),
    (
        lambda: checks.known_name("style", "torchvison", ["keras", "torchvision"]),
        ValueError,
        "There is no style of that name; close names: 'torchvision'. Received: style='torchvison'",
    ),
    (
        lambda: checks.known_name("style", "zzz", ["keras", "bit"]),
        ValueError,
        "There is no style of that name; close names: 'bit', 'keras'. Received: style='zzz'",
    ),
    (
        lambda: checks.known_name("variant", "", [f"resnet{i}" for i in range(13)]),
        ValueError,
        "There is no variant of that name; no name of all 13 is close, which `resnet-layers list` "
        "prints. Received: variant=''",
    ),
    (
        lambda: checks.metadata([]),
        TypeError,
        "`metadata` must be a mapping of what JSON can hold. Received: metadata=[]",
    ),
    (
        lambda: checks.metadata({"a": float("nan")}),
        TypeError,
        "`metadata` must be a mapping of what JSON can hold. Received: metadata={'a': nan}",
    ),
    (interrupted, KeyboardInterrupt, signals.INTERRUPTED),
    (file_for_a_folder, IsADirectoryError, f"[Errno 21] Is a directory: '{ANY}b.txt'"),
    (
        lambda: check_names(Path("a" * 250)),
        OSError,
        f"[Errno 36] its name must have at most {ANY} bytes: '{'a' * 250}'",
    ),
    (pipe_for_a_file, OSError, f"[Errno 22] it is neither a file nor a folder: '{ANY}pipe'"),
    (interrupted_before, KeyboardInterrupt, signals.INTERRUPTED),
]


@pytest.mark.parametrize("row", ERRORS, ids=ids(ERRORS))
def test_error_has_type_and_whole_text(row: Row) -> None:
    check(row)


def test_every_raise_is_in_the_table() -> None:
    assert missing(WING, ERRORS) == []
