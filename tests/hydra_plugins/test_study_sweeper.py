"""A study from its first trial to its last, in one process."""

import ast
import math
import os
import signal
import socket
import time
from pathlib import Path

import optuna
import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import OmegaConf
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError

from hydra_plugins.hydra_study_sweeper import _study, open_storage
from hydra_plugins.hydra_study_sweeper._study import Worker, counts, signs_of_life

PLUGIN = Path(__file__).parents[2] / "hydra_plugins"


def square(cfg):
    return (cfg.x - 0.25) ** 2


def states(study):
    return [trial.state.name for trial in study.trials]


def running_trial(study, **attributes):
    """A trial that some worker began, and has said nothing of since."""
    trial = study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
    for key, value in attributes.items():
        trial.set_user_attr(key, value)
    return trial


def begun(name="default"):
    Path("sweep").mkdir(exist_ok=True)
    return optuna.create_study(study_name=name, storage=open_storage("sweep/study.journal"))


def test_a_trial_is_a_job_with_a_folder_of_its_own(app):
    seen = []

    def task(cfg):
        seen.append((HydraConfig.get().runtime.output_dir, HydraConfig.get().job.num, dict(cfg.trial), cfg.x))
        return square(cfg)

    study = app(task, "hydra.sweeper.n_trials=3")
    assert states(study) == ["COMPLETE"] * 3
    for number, (folder, job, identity, x) in enumerate(seen):
        assert folder == str(Path.cwd() / "sweep" / str(number))
        assert job == number
        assert (identity["storage"], identity["study"], identity["number"]) == (
            *("sweep/study.journal", "default", number),
        )
        assert identity["pruner"]["_target_"] == "optuna.pruners.MedianPruner"
        assert study.trials[number].params == {"x": x}
        assert study.trials[number].value == pytest.approx((x - 0.25) ** 2)


def test_optuna_speaks_only_when_it_warns(app, caplog):
    optuna.logging.set_verbosity(optuna.logging.INFO)  # its own default
    optuna.logging.enable_propagation()
    try:
        app(square, "hydra.sweeper.n_trials=1")
    finally:
        optuna.logging.disable_propagation()
    assert not [record for record in caplog.records if record.name.startswith("optuna")]


def test_n_trials_is_the_studys_total(app):
    assert len(app(square, "hydra.sweeper.n_trials=1").trials) == 1
    assert len(app(square, "hydra.sweeper.n_trials=1").trials) == 1
    assert len(app(square, "hydra.sweeper.n_trials=3").trials) == 3


def test_a_seeded_study_draws_on_where_it_stopped(app):
    seed = "hydra.sweeper.sampler.seed=7"
    whole = app(square, seed, "hydra.sweeper.n_trials=3", "hydra.sweeper.study_name=whole", name="whole")
    app(square, seed, "hydra.sweeper.n_trials=1")
    parts = app(square, seed, "hydra.sweeper.n_trials=3")
    values = [trial.params["x"] for trial in whole.trials]
    assert [trial.params["x"] for trial in parts.trials] == values
    assert len({*values}) == 3


def test_the_job_opens_the_storage_and_is_pruned(app):
    def task(cfg):
        study = optuna.load_study(
            study_name=cfg.trial.study,
            storage=open_storage(cfg.trial.storage),
            pruner=instantiate(cfg.trial.pruner, _execution_whitelist_="optuna.pruners.*"),
        )
        trial = optuna.trial.Trial(study, study.trials[cfg.trial.number]._trial_id)
        for step in (1, 2):
            trial.report(cfg.trial.number, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return cfg.trial.number

    study = app(task, "hydra.sweeper.n_trials=4", "+hydra.sweeper.pruner.n_startup_trials=1")
    assert states(study) == ["COMPLETE", *["PRUNED"] * 3]
    assert study.trials[0].intermediate_values == {1: 0, 2: 0}
    assert study.trials[3].intermediate_values == {1: 3}
    assert study.trials[3].value == 3


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (MemoryError("too big"), "MemoryError: too big"),
        (ZeroDivisionError("a\nb"), "ZeroDivisionError: a b"),
        (SystemExit(3), "SystemExit: 3"),
        (math.nan, "it returned nan, expected 1 numbers"),
        (None, "it returned None, expected 1 numbers"),
        ([1.0, 2.0], "it returned [1.0, 2.0], expected 1 numbers"),
    ],
)
def test_a_failed_trial_keeps_its_reason_and_the_sweep_goes_on(app, outcome, reason):
    def task(cfg):
        if cfg.trial.number != 1:
            return square(cfg)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    study = app(task, "hydra.sweeper.n_trials=3", "hydra.sweeper.max_failure_rate=0.5")
    assert states(study) == ["COMPLETE", "FAIL", "COMPLETE"]
    assert study.trials[1].user_attrs["reason"] == reason


def test_an_exceptions_traceback_lies_in_the_trials_folder(app):
    def task(cfg):
        raise ValueError("this one")

    with pytest.raises(HydraException):
        app(task)
    assert "ValueError: this one" in Path("sweep/0/ended_by.txt").read_text()


def test_too_many_failures_end_the_sweep_in_one_line(app):
    def task(cfg):
        raise ValueError("no good")

    with pytest.raises(
        HydraException, match=r"^2 of 6 trials failed, more than max_failure_rate=0.2 allows; the last: V"
    ):
        app(task, "hydra.sweeper.max_failure_rate=0.2")


def test_several_objectives(app):
    study = app(
        lambda cfg: (cfg.x, 1 - cfg.x), "hydra.sweeper.direction=[minimize,maximize]", "hydra.sweeper.n_trials=1"
    )
    assert [direction.name for direction in study.directions] == ["MINIMIZE", "MAXIMIZE"]
    assert study.trials[0].values == [study.trials[0].params["x"], 1 - study.trials[0].params["x"]]


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SystemExit(130), SystemExit(143)])
def test_an_interrupted_trial_goes_on_in_its_folder_from_its_checkpoint(app, stop):
    went_on = []

    def task(cfg):
        if cfg.trial.number == 1:
            Path(HydraConfig.get().runtime.output_dir, "last.txt").touch()
            raise stop
        if cfg.resume:
            went_on.append((cfg.trial.number, cfg.resume, HydraConfig.get().runtime.output_dir, cfg.x))
        return square(cfg)

    with pytest.raises(type(stop)):
        app(task, "hydra.sweeper.n_trials=3")
    study = app(task, "hydra.sweeper.n_trials=3")
    assert states(study) == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert study.trials[1].user_attrs["reason"] == "interrupted"
    folder = Path.cwd() / "sweep" / "1"
    assert went_on == [(2, "sweep/1/last.txt", str(folder), study.trials[1].params["x"])]
    assert sum(map(counts, study.trials)) == 3


def test_sigterm_is_told_as_interrupted(app):
    def task(cfg):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    with pytest.raises(SystemExit) as stopped:
        app(task)
    assert stopped.value.code == 143


def test_the_trial_of_a_dead_worker_on_this_machine_is_run_again_at_once(app):
    study = begun()
    Path("free.lock").touch()
    worker = {"host": socket.gethostname(), "life": str(Path("free.lock").resolve())}
    lost = running_trial(study, worker=worker, alive=time.time())
    study = app(square, "hydra.sweeper.n_trials=2", "hydra.sweeper.heartbeat=1000")
    assert states(study) == ["FAIL", "COMPLETE", "COMPLETE"]
    assert study.trials[0].user_attrs["reason"] == "its worker died"
    assert study.trials[1].params == lost.params
    assert study.trials[1].user_attrs["folder"] == "0"


def test_the_trial_of_a_dead_worker_elsewhere_is_run_again_when_it_has_long_been_silent(app):
    study = begun()
    running_trial(study, worker={"host": "elsewhere", "life": "/nowhere"}, alive=time.time() - 60)
    lively = running_trial(study, worker={"host": "elsewhere", "life": "/nowhere"}, alive=time.time() + 60)
    study = app(square, "hydra.sweeper.n_trials=2", "hydra.sweeper.max_time=1")
    assert states(study) == ["FAIL", "RUNNING", "COMPLETE"]
    assert lively.number == 1


def test_a_trial_that_was_never_claimed_is_run_again(app):
    running_trial(begun())
    time.sleep(0.1)
    study = app(square, "hydra.sweeper.n_trials=1", "hydra.sweeper.heartbeat=0.01")
    assert states(study) == ["FAIL", "COMPLETE"]


def test_a_trial_that_kills_its_workers_is_given_up(app):
    study = begun()
    worker = {"host": "elsewhere", "life": "/nowhere"}
    running_trial(study, worker=worker, alive=0, deaths=3)
    study = app(square, "hydra.sweeper.n_trials=2", "hydra.sweeper.max_failure_rate=0.5")
    assert states(study) == ["FAIL", "COMPLETE"]
    assert study.trials[0].user_attrs["deaths"] == 4


def test_of_two_that_queue_the_same_trial_one_is_run(app):
    study = begun()
    study.tell(running_trial(study, reason="interrupted", requeue=True), state=TrialState.FAIL)
    for _ in range(2):
        study.enqueue_trial({"x": 0.5}, user_attrs={"retry_of": 0, "folder": "0"})
    study = app(square, "hydra.sweeper.n_trials=2")
    assert states(study) == ["FAIL", "COMPLETE", "FAIL", "COMPLETE"]
    assert study.trials[2].user_attrs["surplus"] is True


def test_one_that_asked_at_the_same_time_as_the_last_steps_back(app, monkeypatch):
    needed = iter([False, True, True])
    monkeypatch.setattr(Worker, "is_needed", lambda *_: next(needed))
    study = app(square, "hydra.sweeper.n_trials=2")
    assert states(study) == ["FAIL", "COMPLETE", "COMPLETE"]
    assert [counts(trial) for trial in study.trials] == [False, True, True]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("x=interval(1,0)", "cannot search x=interval(1,0): "),
        ("x=tag(log, interval(0.0, 1.0))", "cannot search x="),
        ("x=range(3,3)", "cannot search x=range(3,3)"),
        ("x=0.5", "there is nothing to search"),
        ("y=interval(0,1)", "Could not override 'y'"),
        ("hydra.sweeper.n_trials=0", "give n_trials and n_jobs of at least 1"),
        ("hydra.sweeper.max_failure_rate=2", "max_failure_rate from 0 to 1"),
        ("hydra.sweeper.max_time=soon", "Error merging override hydra.sweeper.max_time=soon"),
        ("hydra.sweeper.direction=up", "cannot open study default"),
        ("hydra.sweeper.storage=nonsense://here", "cannot open study default in nonsense://here"),
        ("hydra.sweeper.storage=postgresql://me:secret@localhost:1/x", "in postgresql://me:***@localhost:1/x"),
    ],
)
def test_what_is_wrong_is_told_before_the_first_trial(app, override, words):
    with pytest.raises(HydraException) as raised:
        app(lambda cfg: pytest.fail("a trial was run"), override)
    assert words in str(raised.value)
    assert "secret" not in str(raised.value)
    if words.startswith("cannot"):
        assert "\n" not in str(raised.value)


def test_when_the_time_is_up_the_running_trial_is_kept_for_the_next_start(app):
    def task(cfg):
        for _ in range(200 if cfg.trial.number == 0 else 0):
            time.sleep(0.05)
        return square(cfg)

    started = time.monotonic()
    study = app(task, "hydra.sweeper.n_trials=1", "hydra.sweeper.max_time=1")
    assert time.monotonic() - started < 8
    assert states(study) == ["FAIL"]
    assert study.trials[0].user_attrs["requeue"] is True
    assert states(app(task, "hydra.sweeper.n_trials=1")) == ["FAIL", "COMPLETE"]


def test_the_grid_sampler_visits_each_cell_once(app):
    study = app(square, "hydra/sweeper/sampler=grid", "x=choice(0,1)", "other=range(0,2)")
    cells = [(trial.params["x"], trial.params["other"]) for trial in study.trials]
    assert sorted(cells) == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_a_grid_without_an_end_is_one_line(app):
    with pytest.raises(HydraException, match=r"^a grid over x has no end; give choice\(\.\.\.\) or range\("):
        app(square, "hydra/sweeper/sampler=grid", "x=interval(0,1)", "other=range(0,2)")


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc", "nsgaii"])
def test_samplers_of_upstreams_group(app, sampler):
    study = app(square, f"hydra/sweeper/sampler={sampler}", "hydra.sweeper.sampler.seed=1", "hydra.sweeper.n_trials=2")
    assert len({trial.params["x"] for trial in study.trials}) == 2


def test_a_worker_says_that_it_lives(app):
    app(square, "hydra.sweeper.n_trials=1")
    study = begun("other")
    trial = running_trial(study)
    with signs_of_life(trial, 0.05, math.inf):
        time.sleep(0.3)
    assert time.time() - study.trials[0].user_attrs["alive"] < 1


def test_a_worker_whose_trial_was_taken_away_stops(app):
    study = begun()
    trial = running_trial(study)
    study.tell(trial.number, state=TrialState.FAIL)

    def work():
        with signs_of_life(trial, 0.05, math.inf):
            for _ in range(100):
                time.sleep(0.05)

    with pytest.raises(KeyboardInterrupt):
        work()


def test_sqlite_is_a_storage_as_well(app):
    app(square, "hydra.sweeper.n_trials=1", storage="sqlite:///study.sqlite")
    study = optuna.load_study(study_name="default", storage="sqlite:///study.sqlite")
    assert states(study) == ["COMPLETE"]


def test_the_plugin_stands_alone_and_is_short():
    files = sorted(PLUGIN.rglob("*.py"))
    texts = [file.read_text(encoding="utf-8") for file in files]
    imported = {
        name.partition(".")[0]
        for text in texts
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert "imcomp" not in imported
    assert not (PLUGIN / "__init__.py").exists()  # a namespace, shared with the other plugins
    assert sum(len(text.splitlines()) for text in texts) < 400


def test_a_database_that_is_not_ready_is_asked_again(monkeypatch):
    failures = [StorageInternalError("invalid data"), OperationalError("select", None, Exception("busy"))]

    def not_ready(name):
        if failures:
            raise failures.pop()
        return optuna.storages.InMemoryStorage()

    monkeypatch.setattr(_study, "open_storage", not_ready)
    options = OmegaConf.create({"study_name": "one", "direction": "minimize", "storage": "postgresql://here"})
    assert _study.join(options).study_name == "one"
    assert not failures
