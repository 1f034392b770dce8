"""How a search goes on from what is whole of its state.

keras-tuner 1.4.8 reads all files of a search or raises, and takes the number of its trials for the
name of the next one.
"""

import contextlib
import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras_tuner

from resnet_layers._support.files import tidy
from resnet_layers.tuning import brackets, state

_ORACLE, _TUNER = keras_tuner.Oracle, keras_tuner.engine.base_tuner.BaseTuner
_TRIAL = keras_tuner.engine.trial.Trial
_REPLACED = "its trial is not used, and another takes its place"
_ORDERS = ("start_order", "end_order", "retry_queue")  # of names of trials


def repair_restart() -> None:
    """Has oracles and tuners go on from whatever they find."""
    if hasattr(_ORACLE.reload, "__wrapped__"):  # repaired already
        return
    reload_all, create_trial = _ORACLE.reload, _ORACLE.create_trial
    populate = _TUNER._populate_initial_space

    @functools.wraps(reload_all)
    def reload_whole(self: Any) -> None:
        if state.is_remote(self._project_dir):
            reload_all(self)
        else:
            _reload(self)

    @keras_tuner.synchronized
    @functools.wraps(create_trial)
    def create_lost_trials(self: Any, tuner_id: str) -> Any:
        if tuner_id not in self.ongoing_trials and not self._retry_queue:
            _make_again(self)
        return create_trial(self, tuner_id)

    @functools.wraps(populate)
    def populate_and_reload(self: Any) -> None:
        populate(self)
        folder = Path(self.project_dir)
        # The tuner's own file is written last.
        if not self._is_worker() and any(folder.glob("trial_*/trial.json")):
            self.oracle.reload()
            if any(trial.status == "COMPLETED" for trial in self.oracle.trials.values()):
                state.warn(Path(self._get_tuner_fname()), "nothing is lost by that")
                _write_anew(self)

    def reload_tuner(self: Any) -> None:
        path = Path(self._get_tuner_fname())
        content, whole = state.read_json(path), True
        if not self._is_worker():
            oracle = Path(self.oracle._get_oracle_fname())
            whole = state.read_oracle(self.oracle, oracle) is not None
            if not whole:
                populate(self)  # the space, which is in that file
            self.oracle.reload()
            if not self.oracle.get_space().space:
                populate(self)
        if content is None:
            state.warn(path, "nothing is lost by that")
        else:
            self.set_state(content)
        if content is None or not whole:
            _write_anew(self)

    _ORACLE.reload, _ORACLE.create_trial = reload_whole, create_lost_trials
    _TUNER.reload, _TUNER._populate_initial_space = reload_tuner, populate_and_reload


def _write_anew(tuner: Any) -> None:
    with contextlib.suppress(OSError):  # the search will say so
        tuner.save()


def _reload(oracle: Any) -> None:
    folder = Path(oracle._project_dir)
    for each in (folder, *folder.glob("trial_*")):
        tidy(each)
    unfit = _read_trials(oracle, folder)
    begun = _read_state(oracle, folder)
    later = [trial for name, trial in oracle.trials.items() if name not in begun]
    for trial in later:
        oracle.update_space(trial.hyperparameters)
        oracle._record_values(trial)
        if trial.hyperparameters.values.get("tuner/round", 0) == 0:
            own = [n for n in trial.hyperparameters.values if not n.startswith("tuner/")]
            oracle._seed_state += len(own)  # as many as were drawn for it
    oracle._lost = _lost(oracle, [*begun, *unfit])
    for name in oracle._lost:
        if name not in unfit:
            state.warn(folder / f"trial_{name}" / "trial.json", _REPLACED)
        oracle._tried_so_far.discard(oracle._id_to_hash.pop(name, None))
    if not oracle.trials:
        oracle._lost = []
    if isinstance(oracle, keras_tuner.oracles.HyperbandOracle):
        brackets.complete(oracle, later)
    if isinstance(oracle, keras_tuner.oracles.GridSearchOracle):
        _begin_grid(oracle)
    _order(oracle, begun)


def _read_trials(oracle: Any, folder: Path) -> list[str]:
    """Reads those that are whole; the names of the others."""
    unfit = []
    for path in sorted(folder.glob("trial_*/trial.json")):
        trial = state.read_trial(path)
        if trial is None:
            state.warn(path, _REPLACED)
            unfit.append(path.parent.name.removeprefix("trial_"))
            continue
        oracle.trials[trial.trial_id] = trial
        damaged = state.damaged_result(path.parent) if trial.status == "COMPLETED" else None
        if damaged is not None:
            state.warn(damaged, "its trial is trained again")
        if damaged is not None or trial.status not in state.OVER:
            trial.status, trial.score, trial.message = "RUNNING", None, None
            trial.metrics = type(trial.metrics)()
            with contextlib.suppress(OSError):  # it is found damaged the next time as well
                oracle._save_trial(trial)
    return unfit


def _read_state(oracle: Any, folder: Path) -> list[str]:
    """Takes over what the oracle has written, if it is whole; the trials that it knows."""
    path = folder / "oracle.json"
    found, before = state.read_oracle(oracle, path), dict(vars(oracle))
    try:
        if found is not None:
            begun = [*map(str, found["start_order"])]
            if not oracle.trials:  # it begins anew
                space = keras_tuner.HyperParameters.from_config(found["hyperparameters"])
                oracle.update_space(space)
                return begun
            known = {name: [n for n in found[name] if n in oracle.trials] for name in _ORDERS}
            brackets.check(found.get("brackets", []))
            oracle.set_state({**found, **known, "ongoing_trials": {}})
            return begun
    except Exception:  # of whatever else is in it
        vars(oracle).update(before)
    if oracle.trials:
        state.warn(path, "the search goes on from its trials")
    return []


def _lost(oracle: Any, names: Iterable[str]) -> list[str]:
    """Names of trials that were and are not: a new trial would take that of another one."""
    if not all(name.isdigit() for name in [*oracle.trials, *names]):
        return []  # an oracle with names of its own
    there = {int(name) for name in oracle.trials}
    last = max([*there, *map(int, names)], default=-1)
    width = len(str(oracle.max_trials))
    return [f"{number:0{width}d}" for number in range(last + 1) if number not in there]


def _begin_grid(oracle: Any) -> None:
    """Makes the first point again if it is lost: the others follow from the one before."""
    space = oracle.get_space()
    first = {hp.name: hp.default for hp in space.space if space.is_active(hp)}
    points = (trial.hyperparameters.values for trial in oracle.trials.values())
    if oracle._lost and not any(first.items() <= point.items() for point in points):
        space.values = first
        name = oracle._lost.pop(0)
        oracle.trials[name] = _TRIAL(space, name)


def _order(oracle: Any, begun: list[str]) -> None:
    for name in oracle._lost:  # as many as there were
        space = oracle.get_space()
        space.values = {}
        message = "The file of this trial was damaged"
        oracle.trials[name] = _TRIAL(space, name, "INVALID", message)
    oracle.trials = {name: oracle.trials[name] for name in sorted(oracle.trials)}
    used = [t.hyperparameters.values.get("tuner/trial_id") for t in oracle.trials.values()]
    for name in set(oracle._lost).intersection(used):  # the others have gone on from its weights
        _give_up(oracle, name)
    there = {name: trial for name, trial in oracle.trials.items() if trial.status != "INVALID"}
    oracle.start_order += [name for name in there if name not in oracle.start_order]
    over = [name for name, trial in there.items() if trial.status in state.OVER]
    oracle.end_order = [name for name in oracle.end_order if name in over]
    oracle.end_order += [name for name in over if name not in oracle.end_order]
    # The last one is the next: what others go on from comes first.
    oracle._retry_queue = [name for name in reversed(there) if name not in over]
    oracle.ongoing_trials = {}


def _make_again(oracle: Any) -> None:
    """Draws a trial in place of a lost one, under its name, which is begun as one to try again."""
    for name in list(getattr(oracle, "_lost", [])):
        drawn = oracle.populate_space(name)
        if drawn["status"] == "STOPPED":  # nothing is left to try
            _give_up(oracle, name)
            continue
        if drawn["status"] == "RUNNING":
            oracle._lost.remove(name)
            space = oracle.hyperparameters.copy()
            space.values = drawn["values"]
            oracle.trials[name] = trial = _TRIAL(space, name)
            oracle._record_values(trial)
            oracle.start_order.append(name)
            oracle._retry_queue.append(name)
            oracle._save_trial(trial)
        return


def _give_up(oracle: Any, name: str) -> None:
    oracle._lost.remove(name)
    oracle.trials[name].status = "FAILED"
    with contextlib.suppress(OSError):
        oracle._save_trial(oracle.trials[name])
