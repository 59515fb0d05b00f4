"""Some rounds of each subject; ``make faults`` runs 50."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.harness import Subject, digests, run_rounds
from tests.faults.run import with_table
from tests.faults.subjects import SUBJECTS

ROOT = Path(__file__).parents[2]


def _write_slowly(place, shared):
    """Thirty lines, whole or not at all, in three hundredths of a second each."""
    file = place / "lines"
    import time

    from imcomp.files import write_text

    while len(lines := file.read_text().splitlines() if file.exists() else []) < 30:
        time.sleep(0.003)
        write_text(file, "\n".join([*lines, "line"]))


def _append(place, shared):
    """Thirty lines again, with no care."""
    import time

    for _ in range(30):
        time.sleep(0.003)
        with (place / "lines").open("a") as file:
            file.write("line\n")


class TestHarness:
    def test_what_goes_on_where_it_was_ends_alike(self, tmp_path):
        careful = Subject("careful", "", _write_slowly, lambda place: {"lines": digests(place)["lines"]})

        outcome = run_rounds(careful, tmp_path, rounds=5)

        assert (outcome.rounds, outcome.equal) == (5, 5)
        assert 0 < outcome.kills <= 15

    def test_what_begins_again_over_its_own_traces_does_not(self, tmp_path):
        careless = Subject("careless", "", _append, digests)
        lines = []

        outcome = run_rounds(careless, tmp_path, rounds=5, report=lines.append)

        assert outcome.equal < 5
        assert any("DIFFERENT" in line for line in lines)

    def test_work_that_fails_by_itself_is_no_outcome(self, tmp_path):
        def fail(place, shared):
            raise RuntimeError("by itself")

        with pytest.raises(AssertionError, match=r"failing ended with 1:(.|\n)*RuntimeError: by itself"):
            run_rounds(Subject("failing", "", fail, digests), tmp_path, rounds=1)

    def test_the_table_is_written_anew(self):
        outcome = {"subject": "a", "command": "b", "seconds": 1.5, "rounds": 5, "kills": 9, "equal": 5}
        figures = {"date": "today", "machine": "two cores", "versions": {"torch": "2"}, "outcomes": [outcome]}

        page = with_table("before\n<!-- faults -->\nold\n<!-- /faults -->\nafter\n", figures)

        assert "| a | b | 1.5 s | 5 | 9 | 5 |" in page
        assert "old" not in page
        assert with_table(page, figures) == page


@pytest.mark.slow
def test_nothing_is_lost():
    # a process of its own: it forks, which this one, with its threads, had better not
    command = [sys.executable, "-m", "tests.faults.run", "rounds=2", "seed=1"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count('"equal": 2') == len(SUBJECTS)
