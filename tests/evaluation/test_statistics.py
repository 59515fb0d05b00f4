"""Means and their intervals: right in the head, against SciPy, and honest about pictures that belong together."""

import numpy as np
import pytest

from imcomp.evaluation.statistics import Interval, bin_of, by_area, summarise


def each_its_own(count):
    return [str(number) for number in range(count)]


def test_a_mean_and_its_interval():
    summary = summarise({"mse": np.array([0.0, 1.0] * 200)}, each_its_own(400))
    assert summary.count == 400
    score = summary.scores["mse"]
    assert score.mean == 0.5
    # a mean of 400 coins has a standard deviation of 0.025
    assert score.low == pytest.approx(0.5 - 1.96 * 0.025, abs=0.006)
    assert score.high == pytest.approx(0.5 + 1.96 * 0.025, abs=0.006)


def test_as_scipys():
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(1).exponential(size=200)
    ours = summarise({"mse": values}, each_its_own(200), resamples=4000).scores["mse"]
    theirs = stats.bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=0).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.02)


def test_pictures_of_one_group_are_drawn_together():
    values = np.repeat(np.random.default_rng(0).random(20), 30)  # 20 signs, 30 frames each, all alike
    groups = np.repeat(np.arange(20), 30)
    together = summarise({"mse": values}, groups).scores["mse"]
    apart = summarise({"mse": values}, each_its_own(600)).scores["mse"]
    assert together.mean == apart.mean
    # 600 frames are 20 independent pictures: the interval is sqrt(30) times as wide
    assert (together.high - together.low) / (apart.high - apart.low) == pytest.approx(30**0.5, rel=0.15)


def test_groups_of_uneven_size_weigh_as_many_pictures():
    summary = summarise({"mse": np.array([0.0, 0.0, 0.0, 1.0])}, ["a", "a", "a", "b"])
    assert summary.scores["mse"] == Interval(0.25, 0, 1)


def test_the_same_every_time():
    values = {"mse": np.random.default_rng(0).random(50), "psnr": np.arange(50.0)}
    assert summarise(values, each_its_own(50)) == summarise(values, each_its_own(50))
    assert summarise(values, each_its_own(50)) != summarise(values, each_its_own(50), seed=1)


def test_without_resamples_there_is_no_interval():
    score = summarise({"mse": np.array([1.0, 2.0])}, ["a", "b"], resamples=0).scores["mse"]
    assert score.mean == 1.5
    assert np.isnan(score.low)
    assert score.plain() == {"mean": 1.5, "low": None, "high": None}


def test_one_group_has_no_interval():
    score = summarise({"mse": np.array([1.0, 2.0])}, ["a", "a"]).scores["mse"]
    assert score.plain() == {"mean": 1.5, "low": None, "high": None}


def test_what_is_not_a_number_stays_so():
    score = summarise({"mse": np.array([np.nan, 1.0])}, ["a", "b"]).scores["mse"]
    assert score.plain() == {"mean": None, "low": None, "high": None}
    assert summarise({"mse": np.array([])}, []).plain()["scores"]["mse"]["mean"] is None


def test_bins_hold_their_upper_edge():
    assert bin_of(np.array([0.001, 0.01, 0.0101, 0.05, 0.3, 0.31, 0.5, 0.51, 1.0])).tolist() == [
        *(0, 0, 1, 1, 4, 5),
        *(6, 7, 7),
    ]


def test_by_area():
    areas = np.array([0.02, 0.03, 0.6])
    found = by_area({"mse": np.array([1.0, 3.0, 5.0])}, areas, ["a", "b", "c"])
    assert {bins: (summary.count, summary.scores["mse"].mean) for bins, summary in found.items()} == {
        (0.01, 0.05): (2, 2),
        (0.5, 1.0): (1, 5),
    }
