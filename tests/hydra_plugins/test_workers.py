"""Several processes on one study: none of its trials is lost or run twice, whatever is killed."""

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import optuna
import pytest
from optuna.exceptions import OptunaError
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from hydra_plugins.hydra_study_sweeper import open_storage
from hydra_plugins.hydra_study_sweeper._study import counts

pytestmark = pytest.mark.slow

WORKERS = 4


def needs(*modules):
    missing = [module for module in modules if find_spec(module) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


@cache  # those who ask every moment would soon hold all the connections that a server allows
def opened(storage):
    return open_storage(storage)


def trials_in(storage):
    """The trials so far; none while there is no study."""
    if "://" not in storage and not Path(storage).is_file():
        return []
    try:
        return optuna.load_study(study_name="default", storage=opened(storage)).trials
    except (KeyError, OptunaError, SQLAlchemyError):
        return []


def wait_for(condition, what, seconds=60):
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, f"waited {seconds} s for {what}"
        time.sleep(0.05)


def each_ran_once(trials, n_trials):
    """Every trial of the study ended well in exactly one of its attempts."""
    assert all(trial.state.is_finished() for trial in trials)
    whole = [trial for trial in trials if counts(trial)]
    assert [trial.state for trial in whole] == [TrialState.COMPLETE] * n_trials
    assert len({trial.params["x"] for trial in whole}) == n_trials
    retried = [trial.user_attrs["retry_of"] for trial in trials if trial.user_attrs.get("retry_of") is not None]
    needed = [
        retry
        for retry, trial in zip(retried, (t for t in trials if "retry_of" in t.user_attrs), strict=True)
        if not trial.user_attrs.get("surplus")
    ]
    assert len(needed) == len({*needed})
    for trial in trials:
        if trial.user_attrs.get("requeue"):
            (attempt,) = (
                t for t in trials if t.user_attrs.get("retry_of") == trial.number and not t.user_attrs.get("surplus")
            )
            assert trial.params in ({}, attempt.params)  # it may have died before it drew


def kill_at_random(start, folder, storage, n_trials, kills, *overrides):
    """Run a study in `WORKERS` shells, and kill one with a trial in hand now and then; another takes its place.

    A study that ends before its last kill is no failure: how soon a killed worker's place is filled is the machine's
    matter.
    """
    choice = random.Random(0)
    options = [f"hydra.sweeper.n_trials={n_trials}", "seconds=1", "hydra.sweeper.max_deaths=100", *overrides]
    processes = [start(*options) for _ in range(WORKERS)]
    killed, done = 0, 0

    def over():
        return all(process.poll() == 0 for process in processes)

    def ended():
        return sum(trial.state.is_finished() for trial in trials_in(storage)) > done

    def running():
        return any(trial.state == TrialState.RUNNING for trial in trials_in(storage))

    while killed < kills:
        wait_for(lambda: over() or ended(), "a trial to end", seconds=120)
        wait_for(lambda: over() or running(), "a trial to begin", seconds=120)
        if over():
            break
        time.sleep(choice.uniform(0, 0.3))
        victim = choice.randrange(WORKERS)
        processes[victim].send_signal(signal.SIGKILL)
        processes[victim].wait()
        processes[victim] = start(*options)
        killed += 1
        done = sum(trial.state.is_finished() for trial in trials_in(storage))
    assert killed >= kills / 2
    for process in processes:
        assert process.wait(timeout=120) == 0, "\n".join(log.read_text() for log in folder.glob("log*.txt"))


def test_four_shells_and_random_kills(start, tmp_path):
    storage = str(tmp_path / "sweep" / "study.journal")
    kill_at_random(start, tmp_path, storage, 40, 6)
    trials = trials_in(storage)
    each_ran_once(trials, 40)
    assert any(trial.user_attrs.get("reason") == "its worker died" for trial in trials)


def test_a_frozen_worker_that_was_taken_for_dead_gives_its_trial_up(start, tmp_path):
    """On another machine it would count as dead; here its lock is hidden, so that its silence alone tells."""
    storage = str(tmp_path / "sweep" / "study.journal")
    options = ["hydra.sweeper.n_trials=1", "seconds=6"]
    frozen = start(*options)
    begun = {"alive", "overrides"}  # the last that is noted before the job itself
    wait_for(lambda: any(begun <= trial.user_attrs.keys() for trial in trials_in(storage)), "a trial to run")
    frozen.send_signal(signal.SIGSTOP)
    for lock in (tmp_path / "sweep" / "workers").glob("*.lock"):
        lock.rename(lock.with_suffix(".hidden"))
    other = start(*options)
    wait_for(lambda: len(trials_in(storage)) == 2, "the trial to be taken over")
    frozen.send_signal(signal.SIGCONT)
    assert other.wait(timeout=60) == 0
    assert frozen.wait(timeout=60) == 0
    each_ran_once(trials_in(storage), 1)
    assert "another worker's now" in (tmp_path / "log0.txt").read_text() + "".join(
        file.read_text() for file in tmp_path.glob("sweep/0/*.log")
    )


@needs("joblib", "hydra_plugins.hydra_joblib_launcher")
def test_joblibs_workers_are_started_anew_when_one_is_killed(start, tmp_path):
    storage = str(tmp_path / "sweep" / "study.journal")
    sweep = start("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweeper.n_jobs=2", "seconds=1")
    wait_for(lambda: sum("worker" in trial.user_attrs for trial in trials_in(storage)) >= 3, "a third trial")
    worker = trials_in(storage)[-1].user_attrs["worker"]["life"]
    os.kill(int(re.search(r"-(\d+)\.lock$", worker)[1]), signal.SIGKILL)
    assert sweep.wait(timeout=120) == 0, (tmp_path / "log0.txt").read_text()
    trials = trials_in(storage)
    each_ran_once(trials, 6)
    assert len({trial.user_attrs["worker"]["life"] for trial in trials}) >= 3
    assert any(trial.user_attrs.get("reason") == "its worker died" for trial in trials)


@needs("submitit", "hydra_plugins.hydra_submitit_launcher")
def test_submitits_workers_share_the_study(start, tmp_path):
    options = ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5", "hydra.sweeper.n_jobs=2", "seconds=1"]
    sweep = start(*options)
    assert sweep.wait(timeout=120) == 0, (tmp_path / "log0.txt").read_text()
    trials = trials_in(str(tmp_path / "sweep" / "study.journal"))
    each_ran_once(trials, 6)
    assert len({trial.user_attrs["worker"]["life"] for trial in trials}) == 2


@needs("ray", "hydra_plugins.hydra_ray_launcher")
def test_rays_workers_share_the_study(start, tmp_path):
    local = [f"+hydra.launcher.ray.init.{setting}" for setting in ("num_cpus=2", "include_dashboard=false")]
    sweep = start("hydra/launcher=ray", *local, "hydra.sweeper.n_jobs=2", "seconds=2")
    assert sweep.wait(timeout=180) == 0, (tmp_path / "log0.txt").read_text()
    each_ran_once(trials_in(str(tmp_path / "sweep" / "study.journal")), 6)


@pytest.fixture(scope="module")
def postgresql():
    """The URL of a database on a private server, which is started for these tests and stopped after them."""
    found = [*Path("/usr/lib/postgresql").glob("*/bin/initdb"), *filter(None, [shutil.which("initdb")])]
    if not found:
        pytest.skip("no PostgreSQL server here: apt install postgresql")
    if find_spec("psycopg") is None:
        pytest.skip("not installed: psycopg")
    programs = Path(found[-1]).parent
    folder = Path(tempfile.mkdtemp(prefix="imcomp-postgres-"))
    as_user = []
    if os.geteuid() == 0:  # as which the server refuses to run
        user = (
            "postgres"
            if subprocess.run(["id", "postgres"], capture_output=True, check=False).returncode == 0
            else "nobody"
        )
        as_user = ["runuser", "-u", user, "--"]
        shutil.chown(folder, user)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(program, *arguments):
        command = [*as_user, str(programs / program), "-D", str(folder / "data"), *arguments]
        subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL, timeout=60)

    try:
        run("initdb", "-U", "imcomp", "-A", "trust", "--no-sync", "-E", "UTF8")
        settings = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        run("pg_ctl", "-o", settings, "-l", str(folder / "log"), "-w", "start")
        yield f"postgresql://imcomp@127.0.0.1:{port}/postgres"
        run("pg_ctl", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_postgresql_four_shells_and_random_kills(start, tmp_path, postgresql):
    kill_at_random(start, tmp_path, postgresql, 40, 4, f"hydra.sweeper.storage={postgresql}")
    each_ran_once(trials_in(postgresql), 40)
