"""The picture."""

import pytest

from imcomp.benchmark.plot import draw

pytest.importorskip("matplotlib")


def test_it_shows_every_line_that_has_figures(tmp_path, result, line):
    lines = [
        line("reference", 1, 2, 3),
        line("imcomp", 4, 5, against="reference"),
        line("unlucky", reason="gone"),
        line("changed", 6, group="another group", against="imcomp"),
        line("start", 7, quantity="s"),
    ]
    draw([result("train", lines)], tmp_path / "speed.svg")
    text = (tmp_path / "speed.svg").read_text()
    assert all(f">{name}<" in text for name in ("reference", "changed", "abacus-1-2-cores: train, a group"))
    assert text.count(">imcomp<") == 2  # once more beside what is compared with it
    assert "unlucky" not in text
    assert ">start<" not in text


def test_the_same_results_draw_the_same_file(tmp_path, result, line):
    for name in ("a.svg", "b.svg"):
        draw([result("train", [line("imcomp", 1, 2)])], tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_nothing_to_draw_draws_nothing(tmp_path, result, line):
    draw([result("startup", [line("start", 7, quantity="s")])], tmp_path / "speed.svg")
    assert not (tmp_path / "speed.svg").exists()
