"""A run as a trial: what it reports, and when it stops."""

from types import SimpleNamespace

import optuna
import pytest
from omegaconf import OmegaConf
from optuna.trial import TrialState

from hydra_plugins.hydra_study_sweeper import open_storage
from imcomp.sweeps.trial import TrialReport
from imcomp.training import train

ALWAYS = {"_target_": "optuna.pruners.ThresholdPruner", "upper": 0.0}


@pytest.fixture
def study(tmp_path):
    return optuna.create_study(study_name="s", storage=open_storage(str(tmp_path / "s.journal")))


@pytest.fixture
def identity(tmp_path, study):
    return {"monitor": "val/mse", "storage": str(tmp_path / "s.journal"), "study": "s", "number": study.ask().number}


def validation(value, **state):
    """What Lightning hands over after a validation."""
    trainer = {"sanity_checking": False, "is_global_zero": True, "current_epoch": 0, **state}
    state = SimpleNamespace(fn=trainer.pop("fn", "fit"))
    strategy = SimpleNamespace(broadcast=lambda decision: decision)
    return SimpleNamespace(callback_metrics={"val/mse": value}, state=state, strategy=strategy, **trainer)


def values(study):
    return [trial.intermediate_values for trial in study.trials]


def trained(train_config, tmp_path, identity, **options):
    cfg = train_config(tmp_path, "sweep=optuna")
    OmegaConf.update(cfg, "callbacks.trial", {**identity, **options})
    return train(cfg)


def test_a_run_reports_every_validation(train_config, tmp_path, study, identity):
    metrics = trained(train_config, tmp_path, identity)
    (reported,) = values(study)
    assert [*reported] == [1, 2]
    assert min(reported.values()) == pytest.approx(metrics["val/mse"])
    assert not any(key.startswith("test/") for key in metrics)


def test_a_run_stops_where_the_pruner_says_so(train_config, tmp_path, study, identity):
    with pytest.raises(optuna.TrialPruned, match=r"^val/mse 0\.\d+ after validation 1$"):
        trained(train_config, tmp_path, identity, pruner=ALWAYS)
    assert [*values(study)[0]] == [1]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_the_trial(study, identity, value):
    with pytest.raises(FloatingPointError, match=f"^val/mse is {value} after epoch 0$"):
        TrialReport(**identity).on_validation_end(validation(value), None)
    assert values(study) == [{}]


def test_outside_a_sweep_nothing_happens(study, identity):
    TrialReport("val/mse").on_validation_end(validation(float("nan")), None)
    for state in ({"fn": "validate"}, {"sanity_checking": True}, {"is_global_zero": False}):
        TrialReport(**identity).on_validation_end(validation(0.5, **state), None)
    assert values(study) == [{}]


def test_the_other_processes_of_a_trial_stop_with_the_first(identity):
    trainer = validation(0.5, is_global_zero=False)
    trainer.strategy.broadcast = lambda decision: True
    with pytest.raises(optuna.TrialPruned):
        TrialReport(**identity).on_validation_end(trainer, None)


def test_of_several_objectives_none_is_reported(tmp_path):
    storage = str(tmp_path / "s.journal")
    study = optuna.create_study(study_name="s", storage=open_storage(storage), directions=["minimize"] * 2)
    report = TrialReport("val/mse", storage, "s", study.ask().number, optuna.pruners.ThresholdPruner(upper=0.0))
    report.on_validation_end(validation(0.5), None)
    assert values(study) == [{}]


@pytest.mark.parametrize(("objective", "reported"), [("val/psnr", {1: 20.0}), ("params", {})])
def test_the_objective_is_reported_where_it_is_logged(study, identity, objective, reported):
    study.set_user_attr("objectives", [objective])
    trainer = validation(0.01)
    trainer.callback_metrics["val/psnr"] = 20.0
    TrialReport(**identity).on_validation_end(trainer, None)
    assert values(study) == [reported]


def test_a_trial_that_goes_on_keeps_what_was_reported_before(study, identity):
    first = TrialReport(**identity)
    for value in (0.4, 0.3, 0.2):
        first.on_validation_end(validation(value), None)
    study.tell(0, state=TrialState.FAIL)
    study.enqueue_trial({}, user_attrs={"retry_of": 0})
    second = TrialReport(**{**identity, "number": study.ask().number})
    second.load_state_dict({**first.state_dict(), "validations": 2})  # the last checkpoint was saved after two
    second.on_validation_end(validation(0.25), None)
    assert values(study)[1] == {1: 0.4, 2: 0.3, 3: 0.25}


@pytest.mark.parametrize("pruner", [optuna.pruners.SuccessiveHalvingPruner(1), optuna.pruners.HyperbandPruner(1, 2)])
def test_a_trial_that_goes_on_does_not_compete_with_its_own_past(study, identity, pruner):
    first = TrialReport(**identity, pruner=pruner)
    first.on_validation_end(validation(0.4), None)
    storage = study._storage
    storage.set_trial_user_attr(storage.get_trial_id_from_study_id_trial_number(study._study_id, 0), "requeue", True)
    study.tell(0, state=TrialState.FAIL)
    study.enqueue_trial({}, user_attrs={"retry_of": 0})
    second = TrialReport(**{**identity, "number": study.ask().number}, pruner=pruner)
    second.on_validation_end(validation(0.41), None)  # not a bit the same: its last step was another
    other = TrialReport(**{**identity, "number": study.ask().number}, pruner=pruner)
    with pytest.raises(optuna.TrialPruned):
        other.on_validation_end(validation(0.42), None)


def test_a_trial_that_begins_anew_reports_anew(study, identity):
    TrialReport(**identity).on_validation_end(validation(0.4), None)
    study.tell(0, state=TrialState.FAIL)
    study.enqueue_trial({}, user_attrs={"retry_of": 0})
    TrialReport(**{**identity, "number": study.ask().number}).on_validation_end(validation(0.5), None)
    assert values(study)[1] == {1: 0.5}


def test_a_validation_that_comes_twice_counts_once(study, identity, recwarn):
    for value in (0.4, 0.4):
        TrialReport(**identity).on_validation_end(validation(value), None)
    assert values(study) == [{1: 0.4}]
    assert not recwarn.list
