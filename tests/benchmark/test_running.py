"""The command: what it refuses, and what it leaves behind."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from imcomp.benchmark import running
from imcomp.benchmark.contest import Entrant
from imcomp.benchmark.readings import Reading
from imcomp.benchmark.running import Settings, benchmark, choose_suites, repeatable
from imcomp.cli import config_dir
from imcomp.errors import InputError
from imcomp.overrides import suites_as_list

ROOT = Path(__file__).parents[2]


@pytest.fixture
def settings(tmp_path):
    return Settings(
        suite="tiny",
        repeats=1,
        seconds=0.01,
        device="cpu",
        pictures=2,
        size=32,
        hole=8,
        batch_size=2,
        counts=[100],
        data_root=str(tmp_path / "nowhere"),
        publish=False,
        docs=str(tmp_path / "docs"),
        output_dir=str(tmp_path / "run"),
    )


def one(seconds):
    return Reading({"pictures/s": 1.0})


def none(seconds):
    raise InputError("there is none")


@pytest.fixture
def tiny(monkeypatch):
    """A suite that measures nothing; ``tiny(none)`` adds an entrant that cannot be measured."""

    def entrants(*tasks):
        found = [Entrant(task.__name__, "group", "pictures/s", task) for task in (one, *tasks)]
        monkeypatch.setitem(running.SUITES, "tiny", lambda protocol: found)

    entrants()
    return entrants


def test_it_writes_results_and_page_into_the_runs_folder(settings, tiny, capsys):
    assert benchmark(settings, config_dir())
    folder = Path(settings.output_dir)
    (file,) = folder.glob("*-tiny.json")
    values = json.loads(file.read_text())

    assert values["settings"] == {"repeats": 1, "seconds": 0.01, "pictures": 2, "size": 32, "batch_size": 2}
    assert values["pictures"].startswith("drawn signs")
    assert values["lines"][0]["values"] == [1]
    assert values["machine"]["cores"] >= 1
    assert values["command"].startswith("python scripts/benchmark.py suite=tiny")
    assert "### tiny" in (folder / "benchmarks.md").read_text()
    assert not [*folder.glob("work-*")]
    assert not Path(settings.docs).exists()
    assert str(file) in capsys.readouterr().out


def test_what_could_not_be_measured_makes_it_incomplete(settings, tiny):
    tiny(none)
    assert not benchmark(settings, config_dir())
    assert "none (there is none)" in (Path(settings.output_dir) / "benchmarks.md").read_text()


def test_published_results_and_page_stand_in_docs(settings, tiny):
    docs = Path(settings.docs)
    (docs / "benchmarks").mkdir(parents=True)
    (docs / "benchmarks" / "tried.md").write_text("- magic\n")
    benchmark(replace(settings, publish=True), config_dir())
    page = (docs / "benchmarks.md").read_text()
    assert "### tiny" in page
    assert "![Pictures a second](benchmarks/speed.svg)" in page
    assert page.endswith("- magic\n")
    assert (docs / "benchmarks" / "speed.svg").is_file()

    (docs / "benchmarks.md").unlink()
    shutil.rmtree(settings.output_dir)
    assert benchmark(replace(settings, suite="report"), config_dir())
    assert (docs / "benchmarks.md").read_text() == page
    assert not Path(settings.output_dir).exists()


@pytest.fixture(autouse=True)
def known(monkeypatch):
    """The page knows the tiny suite too."""
    monkeypatch.setitem(running.SUITES, "tiny", list)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"suite": "trian"}, "suite=trian is unknown; choose from data, train, predict"),
        ({"suite": ["data", "report"]}, "suite=report is unknown"),
        ({"suite": []}, "names none"),
        ({"repeats": 0}, "repeats=0 is too few"),
        ({"seconds": 0.0}, "seconds=0.0 is no time"),
        ({"hole": 64}, "hole=64 does not fit into size=32"),
        ({"counts": [1000, 10]}, "10 are too few"),
        ({"device": "tpu"}, "device 'tpu' is not there"),
        ({"publish": True}, "there is no folder .*docs to publish in"),
        ({"suite": "report"}, "there is no folder .*docs to publish in"),
        ({"suite": "quality"}, "suite=quality needs GTSRB"),
    ],
)
def test_mistakes_are_told_before_anything_is_measured(settings, change, words):
    with pytest.raises(InputError, match=words):
        benchmark(replace(settings, **change), config_dir())


def test_all_leaves_out_what_takes_hours(monkeypatch):
    monkeypatch.delitem(running.SUITES, "tiny")
    assert choose_suites("all") == ["data", "train", "predict", "startup", "scale", "stream"]
    assert choose_suites(["train", "data", "train"]) == ["train", "data"]


def test_the_command_is_kept_without_places_of_one_machine():
    arguments = ["suite=[a,b]", "repeats=1", "data_root=/data", "hydra.run.dir=/x", "docs=/d", "publish=true"]
    assert repeatable("a", arguments) == ["suite=a", "repeats=1", "data_root=PATH", "publish=true"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["suite=data,train"], ["suite=[data,train]"]),
        (["suite=data", "repeats=2"], ["suite=data", "repeats=2"]),
        (["suite=[data,train]"], ["suite=[data,train]"]),
        (["-m", "suite=data,train"], ["-m", "suite=data,train"]),
    ],
)
def test_a_comma_makes_a_list(given, expected):
    assert suites_as_list(given) == expected


@pytest.mark.slow
def test_from_the_command_line(tmp_path):
    arguments = ["suite=data,startup", "repeats=1", "seconds=0.05", "pictures=8", "size=32", "hole=8", "batch_size=4"]
    arguments += [f"data_root={tmp_path / 'nowhere'}", f"hydra.run.dir={tmp_path / 'run'}", "device=cpu"]
    command = [sys.executable, "-c", "from imcomp.cli import run; run('benchmark')", *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    results = [json.loads(path.read_text()) for path in sorted((tmp_path / "run").glob("*.json"))]
    assert [result["suite"] for result in results] == ["data", "startup"]
    assert all(line["values"] for result in results for line in result["lines"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("argument", "words"),
    [("suite=trian", "suite=trian is unknown"), ("repeats=often", "repeats=often is a str; expected int")],
)
def test_a_mistake_on_the_command_line_is_one_line(tmp_path, argument, words):
    code = "from imcomp.cli import run; run('benchmark')"
    command = [sys.executable, "-c", code, argument, f"hydra.run.dir={tmp_path / 'run'}"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert words in ended.stderr
