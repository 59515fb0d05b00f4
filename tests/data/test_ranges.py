import pytest
import torch

from imcomp.data.ranges import REDRAWS, area_range, draw_within, number_range, whole_range


class Draw:
    """Holes of so many pixels of 100 as the seed's place in a list says; remembers what it was asked for."""

    def __init__(self, *counts):
        self.counts = list(counts)
        self.asked = []

    def __call__(self, seeds):
        self.asked.append(len(seeds))
        masks = torch.zeros(len(seeds), 100)
        for mask in masks:
            mask[: self.counts.pop(0)] = 1
        return masks.view(-1, 1, 10, 10)


def counts(masks):
    return masks.sum(dim=(1, 2, 3)).tolist()


def test_a_range_is_a_number_or_two():
    assert whole_range("count", 3, 1) == (3, 3)
    assert whole_range("count", [1, 3], 1) == (1, 3)
    assert number_range("width", 2, 0) == (2.0, 2.0)
    assert number_range("width", (0.5, 2), 0) == (0.5, 2.0)
    assert area_range([0, 0.5]) == (0.0, 0.5)
    assert area_range(None) is None


@pytest.mark.parametrize("value", [0, [0, 3], [3, 1], [1], [1, 2, 3], 1.5, True, "12", None, {"low": 1}])
def test_what_is_no_whole_range_is_named(value):
    with pytest.raises(ValueError, match=r"^count .* is no range; give \[low, high\] or one whole number, at least 1$"):
        whole_range("count", value, 1)


@pytest.mark.parametrize("value", [-1, 4, [1, 4], [3, 1], [1], float("nan"), "12", None])
def test_what_is_no_number_range_is_named(value):
    with pytest.raises(ValueError, match=r"^width .* is no range; give \[low, high\] or one number, from 0 to 3$"):
        number_range("width", value, 0, 3)


def test_an_endless_range_is_refused():
    with pytest.raises(ValueError, match=r"at least 0$"):
        number_range("width", [1, float("inf")], 0)


def test_holes_outside_the_bounds_are_drawn_anew_until_they_lie_within():
    draw = Draw(5, 20, 40, 10, 31, 30)

    assert counts(draw_within(draw, torch.arange(3), (0.1, 0.3))) == [10, 20, 30]
    assert draw.asked == [3, 2, 1]


def test_the_bounds_are_within():
    # 0.07 * 100 is a little more than 7
    draw = Draw(7, 29)

    assert counts(draw_within(draw, torch.arange(2), (0.07, 0.29))) == [7, 29]
    assert draw.asked == [2]


def test_the_nearest_is_kept_where_none_lies_within():
    draw = Draw(50, 45, 42, *[48] * (REDRAWS - 2))

    assert counts(draw_within(draw, torch.arange(1), (0.1, 0.3))) == [42]
    assert len(draw.asked) == 1 + REDRAWS


def test_what_is_drawn_anew_may_be_added():
    halves = iter([slice(0, 15), slice(15, 30), slice(90, 92), slice(20, 100), slice(50, 60)])

    def draw(seeds):
        masks = torch.zeros(1, 100)
        masks[:, next(halves)] = 1
        return masks.view(1, 1, 10, 10)

    # 15 and 15 and 2 make 32; 80 more would be too many; 10 more are right
    assert counts(draw_within(draw, torch.arange(1), (0.4, 0.5), grow=True)) == [42]


def test_without_bounds_a_hole_is_drawn_once():
    draw = Draw(50)

    assert counts(draw_within(draw, torch.arange(1), None)) == [50]
    assert draw.asked == [1]


def test_each_redraw_has_a_seed_of_its_own():
    seen = []

    def draw(seeds):
        seen.extend(seeds.tolist())
        return torch.ones(len(seeds), 1, 2, 2)

    draw_within(draw, torch.tensor([5, 6]), (0, 0.5))

    assert len(set(seen)) == 2 * (1 + REDRAWS)
