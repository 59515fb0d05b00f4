"""Measuring in turn: the order, a process of its own for each, and what fails."""

import multiprocessing
import os
from dataclasses import dataclass
from pathlib import Path

import torch

from imcomp.benchmark.contest import Entrant, alternate, in_fresh_process
from imcomp.benchmark.readings import Reading
from imcomp.errors import InputError


@dataclass(frozen=True)
class Note:
    """Writes its name, its process and torch's threads into a file, and reads how many names stood there."""

    name: str
    file: Path

    def __call__(self, seconds):
        place = len(self.file.read_text().splitlines()) if self.file.is_file() else 0
        with self.file.open("a") as file:
            file.write(f"{self.name} {os.getpid()} {torch.get_num_threads()} {seconds}\n")
        torch.set_num_threads(7)
        return Reading({"s": place})


@dataclass(frozen=True)
class Fail:
    error: Exception

    def __call__(self, seconds):
        print("before it failed")
        raise self.error


@dataclass(frozen=True)
class Die:
    def __call__(self, seconds):
        os._exit(3)


def entrant(name, task):
    return Entrant(name, "group", "s", task)


def test_all_are_measured_in_turn_each_in_a_process_of_its_own(tmp_path):
    file = tmp_path / "order.txt"
    lines = alternate(
        [entrant(name, Note(name, file)) for name in "ab"], repeats=2, seconds=0.5, logs=tmp_path / "logs"
    )
    names, processes, threads, seconds = zip(*(row.split() for row in file.read_text().splitlines()), strict=True)

    assert names == ("a", "b", "a", "b")
    assert len({*processes, str(os.getpid())}) == 5
    assert "7" not in threads  # what one sets is not the next one's
    assert set(seconds) == {"0.5"}
    assert [(line.name, line.values) for line in lines] == [("a", [0, 2]), ("b", [1, 3])]
    assert all(line.peak_mb > 1 for line in lines)
    assert all(line.threads >= 1 for line in lines)


def test_what_fails_is_told_and_not_tried_again_and_the_others_are_measured(tmp_path):
    file = tmp_path / "order.txt"
    lines = alternate(
        [
            entrant("mistake", Fail(InputError("give another"))),
            entrant("defect", Fail(KeyError("x"))),
            entrant("killed", Die()),
            entrant("good", Note("good", file)),
        ],
        repeats=2,
        seconds=0.1,
        logs=tmp_path / "logs",
    )
    reasons = {line.name: line.reason for line in lines}

    assert reasons == {
        "mistake": "give another",
        "defect": "KeyError: 'x'",
        "killed": "its process ended with exit code 3; see logs/.../killed.txt",
        "good": None,
    }
    assert [line.values for line in lines] == [[], [], [], [0, 1]]
    log = (tmp_path / "logs" / "defect.txt").read_text()
    assert log.count("before it failed") == 1
    assert "Traceback" in log


def several(seconds):
    return Reading({"start, s": 1.0, "rate, pictures/s": 2.0})


def test_an_entrant_of_several_quantities_has_a_line_for_each(tmp_path):
    first, second = alternate([Entrant("x", "group", "start, s", several)], repeats=1, seconds=0.1, logs=tmp_path)
    assert (first.quantity, first.unit, first.values) == ("start, s", "s", [1])
    assert (second.quantity, second.unit, second.values) == ("rate, pictures/s", "pictures/s", [2])


@dataclass(frozen=True)
class Workers:
    def __call__(self, seconds):
        worker = multiprocessing.Process(target=bytearray, args=[50_000_000])
        worker.start()
        worker.join()
        return Reading({"s": 1})


def start_method(seconds):
    return multiprocessing.get_context().get_start_method()


def test_workers_start_as_anywhere_and_their_memory_is_told(tmp_path):
    (line,) = alternate([entrant("x", Workers())], repeats=1, seconds=0, logs=tmp_path)
    usual = multiprocessing.get_context().get_start_method()
    outcome = in_fresh_process(start_method, 0, file=tmp_path / "log.txt")
    assert outcome.value == usual
    assert usual != "fork" or line.worker_mb > 50


def test_any_value_comes_back_from_a_fresh_process(tmp_path):
    outcome = in_fresh_process(abs, -2.0, file=tmp_path / "log.txt")
    assert (outcome.value, outcome.reason) == (2.0, None)
