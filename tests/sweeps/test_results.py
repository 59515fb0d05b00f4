"""The best trials, as a table and as an experiment."""

import optuna
import pytest
import yaml
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from imcomp.sweeps.results import best_trials, load, report, write_best


def trial(x, *values, state=TrialState.COMPLETE, **attributes):
    space = {"x": FloatDistribution(0, 1)}
    return create_trial(params={"x": x}, distributions=space, values=values or None, state=state, user_attrs=attributes)


@pytest.fixture
def study():
    made = optuna.create_study(study_name="s")
    made.add_trials([trial(0.1, 3.0), trial(0.2, 1.0), trial(0.3, 2.0)])
    made.add_trial(trial(0.4, state=TrialState.FAIL, reason="out of memory"))
    made.add_trial(trial(0.4, state=TrialState.FAIL, reason="interrupted", requeue=True))
    made.add_trial(trial(0.4, state=TrialState.FAIL, surplus=True))
    made.add_trial(trial(0.5, 0.0, state=TrialState.PRUNED))
    return made


def test_the_best_come_first_and_the_pruned_not_at_all(study):
    assert [one.number for one in best_trials(study)] == [1, 2, 0]


def test_the_highest_is_the_best_where_that_is_wanted():
    study = optuna.create_study(direction="maximize")
    study.add_trials([trial(0.1, 3.0), trial(0.2, 5.0)])
    assert [one.number for one in best_trials(study)] == [1, 0]


def test_of_several_objectives_those_that_none_beats():
    study = optuna.create_study(directions=["minimize"] * 2)
    study.add_trials([trial(0.1, 3.0, 1.0), trial(0.2, 1.0, 3.0), trial(0.3, 3.0, 3.0)])
    assert [one.number for one in best_trials(study)] == [1, 0]


def test_the_winner_is_an_experiment(study, tmp_path):
    changes = {"model": {"lr": 0.5, "channels": [4, 8]}}
    path = write_best(tmp_path, study, best_trials(study)[0], ["val/mse"], changes, {"model/scheduler": "cosine"})
    text = path.read_text()
    assert path == tmp_path / "experiment" / "best.yaml"
    assert text.startswith("# @package _global_\n# trial 1 of the study s: val/mse 1\n")
    assert yaml.safe_load(text) == {"defaults": [{"override /model/scheduler": "cosine"}], **changes}


def test_what_a_person_reads(study, tmp_path, capsys):
    report(study, best_trials(study), ["val/mse"], tmp_path, "postgresql://me:secret@host/db")
    out = capsys.readouterr().out
    assert "study s: 3 complete, 1 fail, 1 run again, 1 pruned" in out
    assert "trial 3: out of memory" in out
    assert f"--config-dir {tmp_path} experiment=best" in out
    assert "optuna-dashboard postgresql://me:PASSWORD@host/db" in out
    assert "secret" not in out
    rows = [line for line in out.splitlines() if line.startswith("│")]
    assert [row.split("│")[1].strip() for row in rows] == ["1", "2", "0"]


def test_a_study_without_a_result_has_no_winner(tmp_path, capsys):
    study = optuna.create_study(study_name="s")
    study.add_trial(trial(0.5, 0.0, state=TrialState.PRUNED))
    report(study, [], ["val/mse"], tmp_path, "s.journal")
    out = capsys.readouterr().out
    assert "study s: 1 pruned" in out
    assert "retrain" not in out


def test_what_is_not_there_is_not_made(tmp_path):
    assert load("s", str(tmp_path / "s.journal")) is None
    assert load("s", f"sqlite:///{tmp_path}/nowhere/s.sqlite") is None
    assert not [*tmp_path.iterdir()]
