"""A file that computes something else is found out."""

import pytest
import torch

from imcomp.errors import InputError
from imcomp.export.parity import TOLERANCE, check_parity
from imcomp.export.program import Completion
from imcomp.models import build_network


@pytest.fixture
def module():
    torch.manual_seed(0)
    return Completion(build_network("unet", in_channels=1, channels=[4, 8]).eval(), 1)


def check(module, run):
    with torch.inference_mode():
        return check_parity(module, run, multiple=2, size=32)


def test_the_same_is_no_difference(module):
    seen = []

    def run(image, mask):
        seen.append(tuple(image.shape))
        return module(image, mask)

    assert check(module, run) == 0
    assert {shape[0] for shape in seen} == {1, 2, 3}
    assert {shape[1] for shape in seen} == {1, 3}
    assert len({shape[2:] for shape in seen}) == 4


def test_a_small_difference_is_told_of(module):
    small = TOLERANCE / 2
    assert check(module, lambda image, mask: module(image, mask) + mask * small) == pytest.approx(small, rel=1e-2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda image, mask: mask * 2 * TOLERANCE, "computes something else: pictures of 1x1x2x2 differ by 0.0002"),
        (lambda image, mask: torch.where(mask > 0, torch.nan, 0), "computes something else"),
        (lambda image, mask: (1 - mask) * 1e-6, "come out with other known pixels"),
        (lambda image, mask: mask[..., :1] * torch.zeros(1, 1, 1, 9), "come out as 1x1x2x9"),
    ],
)
def test_what_differs_is_refused(module, change, words):
    def run(image, mask):
        moved = change(image, mask)
        return moved if moved.shape[-1] == 9 else module(image, mask) + moved

    with pytest.raises(InputError, match=words) as told:
        check(module, run)
    assert "\n" not in str(told.value)
