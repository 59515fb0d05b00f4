"""A study's pages and TensorBoard's HParams."""

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from imcomp.sweeps.plots import write_hparams, write_plots

SPACE = {"x": FloatDistribution(0, 1), "y": CategoricalDistribution(["a", "b"])}


def searched(*directions):
    """Ten trials, of which the last but one was pruned."""
    study = optuna.create_study(directions=directions, sampler=optuna.samplers.RandomSampler(seed=0))
    for number in range(10):
        trial = study.ask(SPACE)
        values = [trial.params["x"] ** 2, -trial.params["x"]][: len(directions)]
        if len(directions) == 1:
            trial.report(values[0], 1)
        if number == 8 and len(directions) == 1:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(trial, values)
    return study


@pytest.mark.parametrize(
    ("directions", "names", "own"),
    [
        (["minimize"], ["val/mse"], "intermediate_values"),
        (["minimize", "minimize"], ["val/mse", "latency"], "pareto_front"),
    ],
)
def test_every_plot_is_a_page_that_needs_no_network(tmp_path, directions, names, own):
    pages = write_plots(searched(*directions), names, tmp_path)
    assert {page.stem for page in pages} == {"history", "importance", "parallel_coordinates", "slice", own}
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert 'src="plotly.min.js"' in text
        assert "https://cdn" not in text
    assert (tmp_path / "plotly.min.js").stat().st_size > 1e6
    assert "latency" in (tmp_path / "pareto_front.html").read_text() if len(names) > 1 else True


def test_what_cannot_be_drawn_is_left_out(tmp_path, monkeypatch):
    def fails(study, **_):
        raise ValueError("too few trials")

    (tmp_path / "importance.html").write_text("of an earlier end")
    monkeypatch.setattr("imcomp.sweeps.plots.visualization.plot_param_importances", fails)
    pages = {page.stem for page in write_plots(searched("minimize"), ["val/mse"], tmp_path)}
    assert pages == {"history", "parallel_coordinates", "slice", "intermediate_values"}
    assert not (tmp_path / "importance.html").exists()


def test_a_study_without_an_ended_trial_is_drawn_as_well(tmp_path):
    study = optuna.create_study()
    study.ask(SPACE)
    write_plots(study, ["val/mse"], tmp_path)
    write_hparams(study, ["val/mse"], tmp_path / "tensorboard")
    assert not (tmp_path / "tensorboard").exists()


def test_hparams_hold_every_ended_trial_once(tmp_path):
    study = searched("minimize")
    for _ in range(2):
        write_hparams(study, ["val/mse"], tmp_path / "tensorboard")
    folders = sorted((tmp_path / "tensorboard").iterdir(), key=lambda folder: int(folder.name.split("_")[1]))
    assert [folder.name for folder in folders] == [f"trial_{number}" for number in range(10)]
    events = EventAccumulator(str(folders[3])).Reload()
    assert events.Scalars("sweep/val/mse")[0].value == pytest.approx(study.trials[3].value)
    session = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"x" in session
    assert b"complete" in session
