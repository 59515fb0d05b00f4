"""Which pictures are shown, and how they are laid out."""

import numpy as np
import torch

from imcomp.evaluation.gallery import SHOWN, draw, pick


def test_best_median_and_worst():
    errors = np.array([0.5, 0.1, 0.9, 0.3, 0.7])
    places, captions = pick(errors, 1)
    assert places == [1, 0, 2]
    assert captions == ["best 0.1", "median 0.5", "worst 0.9"]
    assert pick(errors, 2)[0] == [1, 3, 3, 0, 2, 4]


def test_what_is_not_a_number_is_worst():
    assert pick(np.array([np.nan, 0.1, 0.2]), 1)[0] == [1, 2, 0]


def test_fewer_pictures_than_wanted():
    assert pick(np.array([0.2, 0.1]), 5)[0] == [1, 0, 1, 0, 0, 1]


def test_a_row_for_each_kind_and_a_column_for_each_picture():
    rows = {"masked": torch.zeros(3, 1, 32, 32), "a name that is far too long to fit": torch.ones(3, 3, 32, 32)}
    sheet = draw(rows, ["best 0.1", "median", "worst"])
    assert sheet.size == (92 + 3 * 100, 18 + 2 * 100)
    assert sheet.getpixel((92, 18)) == (0, 0, 0)
    assert sheet.getpixel((92 + 100, 18 + 100)) == (255, 255, 255)


def test_large_pictures_are_shown_smaller():
    assert draw({"masked": torch.zeros(1, 1, 600, 600)}, ["a"]).size == (92 + SHOWN[1] + 4, 18 + SHOWN[1] + 4)
