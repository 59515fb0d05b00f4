"""Holes of any form, for a network that knows one."""

import numpy as np
import pytest

from imcomp.box import Box
from imcomp.completing.engine import Engine
from imcomp.completing.forms import cut_pieces, fill_in_form, spread
from imcomp.completing.views import Training, form_of, plan

FORM = Box(12, 12, 20, 20)
SIGNS = Training(size=32, multiple=4, channels=1, stretch=True, thickness=(8, 8), form=FORM)


def hole_of(size, *boxes):
    hole = np.zeros(size, np.bool_)
    for box in boxes:
        Box(*box).crop(hole)[:] = True
    return hole


class Painter:
    """Paints the mean of what is not hidden, and notes what it was shown."""

    def __init__(self):
        self.shown, self.hidden = [], []

    def __call__(self, pictures, holes):
        self.shown.extend(pictures)
        self.hidden.extend(holes.reshape(-1, *holes.shape[-2:]))
        filled = np.array(pictures)
        for one, hole in zip(filled, self.hidden[-len(pictures) :], strict=True):
            one[:, hole] = one[:, ~hole].mean()
        return filled


@pytest.mark.parametrize(
    ("mask", "form"),
    [
        ({"name": "center", "size": 8}, Box(12, 12, 20, 20)),
        ({"name": "center", "size": [8, 4], "center": [0.25, 0.5]}, Box(4, 14, 12, 18)),
        ({"name": "box", "size": 8}, None),
    ],
)
def test_only_centre_holes_have_one_form(mask, form):
    assert form_of(mask, 32) == form


@pytest.mark.parametrize(
    "boxes",
    [
        [(12, 12, 20, 20)],
        [(3, 4, 5, 9)],
        [(0, 0, 8, 8)],
        [(30, 30, 32, 32)],
        [(2, 2, 6, 6), (24, 20, 30, 28)],
        [(4, 2, 7, 31)],
        [(0, 0, 32, 32)],
    ],
)
def test_each_piece_is_shown_where_the_network_knows_its_holes(boxes):
    hole = hole_of((32, 32), *boxes)
    picture = np.linspace(0.2, 1, 32 * 32, dtype=np.float32).reshape(1, 32, 32)
    painter = Painter()

    filled = fill_in_form(picture[None], hole[None], FORM, 32, painter)[0]

    assert np.array_equal(filled[:, ~hole], picture[:, ~hole])
    assert all(one.shape == (1, 32, 32) for one in painter.shown)
    assert all(np.array_equal(one, hole_of((32, 32), FORM)) for one in painter.hidden)
    # nowhere is a missing pixel shown as black: what is not hidden is known, mirrored or laid in
    assert hole.all() or min(one.min() for one in painter.shown) >= 0.19
    assert np.isfinite(filled).all()


def test_what_was_filled_before_is_shown_to_the_next_piece():
    hole = hole_of((32, 64), (12, 12, 20, 28))
    painter = Painter()

    fill_in_form(np.full((1, 1, 32, 64), 0.5, np.float32), hole[None], FORM, 32, painter)

    assert len(painter.shown) == 2
    np.testing.assert_allclose(painter.shown[1], 0.5)


def test_pictures_take_their_next_pieces_together():
    holes = np.stack([hole_of((32, 32), (1, 1, 4, 4)), hole_of((32, 32), (1, 1, 9, 25))])
    batches = []

    def paint(pictures, hidden):
        batches.append(len(pictures))
        return pictures

    fill_in_form(np.ones((2, 1, 32, 32), np.float32), holes, FORM, 32, paint)

    assert batches == [2, 1, 1]


def test_pieces_hold_all_of_the_hole_within_the_picture():
    hole = np.random.default_rng(0).random((50, 70)) > 0.9
    pieces = cut_pieces(hole, Box(12, 12, 20, 18))

    covered = hole_of(hole.shape, *pieces)
    assert not (hole & ~covered).any()
    assert all(box.shape == (8, 6) and Box(0, 0, 50, 70).contains(box) for box in pieces)


def test_the_nearest_known_pixels_are_spread_into_the_hole():
    picture = np.concatenate([np.full((1, 16, 16), 0.25), np.full((1, 16, 16), 0.75)], axis=2).astype(np.float32)
    hole = hole_of((16, 32), (4, 2, 12, 10), (4, 22, 12, 30))

    np.testing.assert_allclose(spread(picture, hole), picture)


def test_a_picture_of_which_nothing_is_known_is_black():
    assert not spread(np.ones((1, 5, 7), np.float32), np.ones((5, 7), np.bool_)).any()


@pytest.mark.parametrize(
    ("size", "box", "shown"),
    [
        ((32, 32), (12, 12, 20, 20), (32, 32)),  # as in training
        ((16, 64), (6, 24, 10, 32), (16, 32)),
        ((25, 25), (9, 9, 16, 16), (25, 25)),  # 7 pixels are 8.96 of 32, and would touch 9 or 10
        ((32, 32), (4, 4, 28, 8), (32, 32)),  # long and thin: in pieces
        ((32, 32), (8, 8, 24, 24), (14, 14)),  # too thick for pieces
    ],
)
def test_the_whole_picture_is_shown_so_that_its_hole_is_as_in_training(size, box, shown):
    (view,) = plan(hole_of(size, box), SIGNS, "auto")
    assert view.size == shown


def test_a_small_hole_in_a_large_picture_is_enlarged_to_the_form():
    (view,) = plan(hole_of((400, 400), (100, 100, 104, 103)), SIGNS, "auto")
    assert view.size[0] / view.window.height == pytest.approx(7 / 4, rel=0.05)


def test_holes_apart_are_not_shrunk_to_be_seen_together():
    views = plan(hole_of((400, 400), (100, 100, 108, 108), (140, 140, 148, 148)), SIGNS, "auto")
    assert {view.size for view in views} == {(32, 32)}
    assert len(views) == 2


def test_strategies_that_show_the_picture_as_it_is_do_so():
    hole = hole_of((32, 32), (1, 1, 5, 5))
    for strategy, hidden in (("original", 16), ("resize", 16), ("auto", 64), ("crop", 64)):
        painter = Painter()
        Engine(painter, SIGNS).complete(np.full((32, 32), 200, np.uint8), hole, strategy)
        assert painter.hidden[0].sum() == hidden


def test_a_picture_smaller_than_the_form_is_shown_as_it_is():
    painter = Painter()
    training = Training(**{**vars(SIGNS), "stretch": False})
    completed = Engine(painter, training).complete(np.full((4, 100), 200, np.uint8), hole_of((4, 100), (1, 1, 3, 3)))
    assert completed.shape == (4, 100)
