"""Curves: what is drawn is what was scored, and the same scores draw the same file."""

import sys

import numpy as np
import pytest

from imcomp.errors import InputError
from imcomp.evaluation.curves import distribution, draw_curves
from imcomp.evaluation.statistics import by_area


def test_the_distribution_of_errors():
    errors, shares = distribution(np.array([0.3, 0.1, np.nan, 0.2]))
    assert errors.tolist() == [0.1, 0.2, 0.3]
    assert shares.tolist() == [0.25, 0.5, 0.75]  # one of four has no error that is a number


def test_many_pictures_make_no_longer_file():
    errors, shares = distribution(np.random.default_rng(0).random(100_000))
    assert len(errors) == 400
    assert (shares[0], shares[-1]) == (1e-5, 1)


def test_the_same_scores_draw_the_same_file(tmp_path):
    pytest.importorskip("matplotlib")
    errors = {"mine": np.array([0.1, 0.2]), "telea": np.array([0.3, 0.4])}
    areas = {name: by_area({"mse": some}, np.array([0.02, 0.2]), ["a", "b"]) for name, some in errors.items()}
    files = [tmp_path / "a.svg", tmp_path / "b.svg"]
    for file in files:
        draw_curves(errors, areas, file)
    one, other = (file.read_text() for file in files)
    assert one == other
    assert all(text in one for text in ("mine", "telea", "MSE in the hole", "% of the picture"))


def test_holes_of_one_size_have_no_curve_by_area(tmp_path):
    pytest.importorskip("matplotlib")
    errors = {"mine": np.array([0.1, 0.2])}
    draw_curves(
        errors, {"mine": by_area({"mse": errors["mine"]}, np.array([0.02, 0.02]), ["a", "b"])}, tmp_path / "a.svg"
    )
    assert "% of the picture" not in (tmp_path / "a.svg").read_text()


def test_without_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match="Matplotlib cannot be imported"):
        draw_curves({}, {}, tmp_path / "a.svg")
