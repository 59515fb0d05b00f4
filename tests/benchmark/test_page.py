"""The page: what the committed files say, and what targets make of figures."""

from pathlib import Path

from imcomp.benchmark.page import render
from imcomp.benchmark.running import page_of
from imcomp.benchmark.suites.data import COLD, REFERENCE_COLD, REFERENCE_WARM, WARM
from imcomp.benchmark.suites.startup import HELP

DOCS = Path(__file__).parents[2] / "docs"


def rows(page, words):
    """Cells of the page's table rows with these words."""
    found = [row for row in page.splitlines() if row.startswith("|") and words in row]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in found]


def test_the_committed_page_is_what_the_committed_results_say():
    page = DOCS / "benchmarks.md"
    assert page.read_text(encoding="utf-8") == page_of(DOCS / "benchmarks", page), "run benchmark.py suite=report"


def test_targets_are_met_missed_or_not_yet_measured(result, line):
    lines = [line(REFERENCE_WARM, 10), line(WARM, 101, 101), line(REFERENCE_COLD, 10), line(COLD, 5)]
    page = render([result("data", lines)], tried="", folder="results")

    (met,) = rows(page, f"{WARM} over")
    (missed,) = rows(page, f"{COLD} over")
    (unknown,) = rows(page, f"startup: {HELP}")
    assert met[1:] == ["abacus-1-2-cores", "at least 10 x", "10.10 x", "met"]
    assert missed[1:] == ["abacus-1-2-cores", "at least 1 x", "0.5 x", "**missed**"]
    assert unknown[1:] == ["a CPU", "at most 1 s", "", "not yet measured"]


def test_what_could_not_be_measured_says_why(result, line):
    page = render([result("data", [line(REFERENCE_WARM, 1), line(WARM, reason="no room")])], tried="", folder="x")
    assert rows(page, f"{WARM} over")[0][3:] == ["no room", "**missed**"]
    assert rows(page, WARM)[1][1] == "not measured"
    assert f"{WARM} (no room)" in page


def test_what_is_not_measured_stands_there_with_its_command(result, line):
    page = render([result("data", [line(WARM, 1)])], tried="", folder="x")
    assert "data on a CPU: `" not in page
    assert "- data on a GPU: `python scripts/benchmark.py suite=data device=cuda publish=true`" in page
    assert "- train on a CPU: `python scripts/benchmark.py suite=train device=cpu publish=true`" in page


def test_a_line_says_median_spread_gain_and_share_of_the_limit(result, line):
    lines = [
        line("reference", 10, peak_mb=100.4, worker_mb=50.0, threads=2),
        line("imcomp", 20, 40, 90, against="reference", limit=80.0, how="a=b"),
    ]
    page = render([result("train", lines)], tried="", folder="x")
    (head,) = rows(page, "a group")
    reference, own = rows(page, "pictures/s")[-2:]
    assert head[3] == "x reference"
    assert reference == ["reference", "**10.00** pictures/s", "10.00 to 10.00", "", "", "100 + 50", "2", ""]
    assert own == ["imcomp", "**40.00** pictures/s", "20.00 to 90.00", "4", "50%", "", "", "`a=b`"]


def test_what_was_tried_is_taken_over_and_machines_stand_apart(result, line):
    results = [
        result("train", [line("imcomp", 1)]),
        result("train", [line("imcomp", 1)], device="cuda", gpu="NVIDIA H200", gpu_memory_mb=140_000),
        result("data", [line("imcomp", 1)]),
    ]
    page = render(results, tried="- magic\n", folder="x")
    headings = [row for row in page.splitlines() if row.startswith("##")]
    assert headings == [
        *("## Targets", "## abacus-1-2-cores", "### data", "### train", "## nvidia-h200", "### train"),
        *("## Not yet measured", "## What was tried and did not help"),
    ]
    assert page.endswith("- magic\n")
