"""Lines, results and the files that hold them."""

import json

import pytest

from imcomp.benchmark.readings import read_results, write_result
from imcomp.errors import InputError


def test_the_median_and_how_many_times_as_good(line):
    reference = line("reference", 10, 1, 2)
    assert reference.median == 2
    assert line("imcomp", 6, 8, 100).gain_over(reference) == 4
    assert line("slow", 4, quantity="s").gain_over(line("quick", 1, quantity="s")) == 0.25


def test_results_come_back_as_they_were_written(tmp_path, result, line):
    written = result("train", [line("imcomp", 1, 2, flops=3.0, limit=4.0), line("other", reason="is not there")])
    write_result(written, tmp_path / "one.json")
    assert read_results(tmp_path) == [written]
    assert written.find("imcomp", "pictures/s").values == [1, 2]
    assert written.find("imcomp", "s") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "no result of the benchmark"),
        ("[]", "no result of the benchmark"),
        ('{"format": 1}', "no result of the benchmark"),
        ('{"format": 99}', "of another version"),
    ],
)
def test_a_file_of_something_else_is_named(tmp_path, text, words):
    (tmp_path / "odd.json").write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        read_results(tmp_path)
    assert "odd.json" in str(caught.value)


def test_the_file_is_plain_json(tmp_path, result, line):
    write_result(result("data", [line("imcomp", 1)]), tmp_path / "one.json")
    values = json.loads((tmp_path / "one.json").read_text())
    assert {"format", "suite", "device", "machine", "date", "commit", "command", "settings", "lines"} <= values.keys()
    assert values["lines"][0]["values"] == [1]
