"""The brackets of Hyperband, from its trials."""

import itertools
from collections.abc import Iterable
from typing import Any


def check(found: Any) -> None:
    """Raises whatever it is that Hyperband would raise later, of brackets that are none."""
    for bracket in found:
        for entry in itertools.chain(*bracket["rounds"][: bracket["bracket_num"] + 1]):
            entry["id"], entry["past_id"]


def complete(oracle: Any, trials: Iterable[Any]) -> None:
    """Puts trials into brackets that do not have them, and takes out what is lost.

    Args:
        oracle: Hyperband's, with the names of its lost trials in `_lost`.
        trials: Those that its state does not know, in their order.
    """
    for bracket in oracle._brackets:
        rounds = bracket["rounds"]
        for number, entries in enumerate(rounds):
            after = rounds[number + 1] if number + 1 < len(rounds) else []
            gone_on = {entry["past_id"] for entry in after}
            lost = set(oracle._lost) - gone_on
            rounds[number] = [entry for entry in entries if entry["id"] not in lost]
    for trial in trials:
        values = trial.hyperparameters.values
        past, number = values.get("tuner/trial_id"), values.get("tuner/round", 0)
        wanted = values.get("tuner/bracket")
        bracket = None if wanted is None else _bracket(oracle, wanted, number, past)
        if bracket is None:  # it is found all the same, if it is the best
            continue
        rounds = bracket["rounds"]
        rounds[number].append({"past_id": past, "id": trial.trial_id})
        if past is not None and all(entry["id"] != past for entry in rounds[number - 1]):
            rounds[number - 1].append({"past_id": None, "id": past})


def _bracket(oracle: Any, wanted: Any, number: int, past: str | None) -> Any:
    """The one that a trial is in, which may be one of the next."""
    for bracket in oracle._brackets:
        before = bracket["rounds"][number - 1] if 0 < number < len(bracket["rounds"]) else []
        if any(entry["id"] == past for entry in before):
            return bracket
    for _ in range(oracle._get_num_brackets() + 1):
        for bracket in oracle._brackets:
            is_it = bracket["bracket_num"] == wanted and number <= wanted
            if is_it and len(bracket["rounds"][number]) < oracle._get_size(wanted, number):
                return bracket
        over = oracle._current_iteration + 1 == oracle.hyperband_iterations
        if oracle._current_bracket == 0 and over:
            return None
        oracle._increment_bracket_num()
        oracle._start_new_bracket()
    return None
