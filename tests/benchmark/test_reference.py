"""The reference loop does what it is said to do."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from imcomp.benchmark.reference import ReferencePictures, ReferenceTraining, complete_one, reference_loader

pytest.importorskip("skimage")

ROWS = slice(12, 20)


@pytest.fixture
def pictures(tmp_path):
    for index in range(3):
        Image.new("RGB", (10, 12), (100 * index, 0, 0)).save(tmp_path / f"{index}.png")
    return ReferencePictures(sorted(tmp_path.iterdir()), 32, ROWS)


def test_a_picture_is_grey_square_and_has_a_hole(pictures):
    masked, image = pictures[1]
    assert masked.shape == image.shape == (1, 32, 32)
    assert masked.dtype == image.dtype == torch.float32
    assert torch.allclose(image, torch.tensor(0.2125 * 100 / 255))
    assert (masked == 0).sum() == 64
    assert masked[0, ROWS, ROWS].max() == 0


def test_batches_come_from_two_workers(pictures):
    loader = reference_loader(pictures, 2)
    assert loader.num_workers == 2
    assert [len(image) for _, image in loader] == [2, 1]


def test_the_loss_is_that_of_the_hole_alone():
    training = ReferenceTraining(ROWS, "cpu")
    training.network = nn.Identity()
    image = torch.zeros(1, 1, 32, 32)
    wrong = image.clone()
    wrong[..., 0, 0] = 1
    assert training.loss(wrong, image) == 0
    wrong[..., 12, 12] = 8
    assert training.loss(wrong, image) == 1  # 64 over the 64 pixels of the hole


def test_a_step_trains():
    training = ReferenceTraining(ROWS, "cpu")
    image = torch.rand(2, 1, 32, 32)
    before = training.network.encoder[0][0].weight.clone()
    assert training.step(image, image) > 0
    assert not torch.equal(training.network.encoder[0][0].weight, before)
    assert training.optimizer.defaults["weight_decay"] == 1e-5


def test_known_pixels_are_kept():
    class Ones(nn.Module):
        def forward(self, masked):
            assert masked[..., ROWS, ROWS].max() == 0
            return torch.ones_like(masked)

    image = np.full((32, 32), 0.25)
    completed = complete_one(Ones(), image, ROWS, "cpu")
    assert (completed == 1).sum() == 64
    assert (completed[ROWS, ROWS] == 1).all()
    assert (image == 0.25).all()
