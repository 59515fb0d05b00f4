"""What fills: networks on pictures of any channels, classical fills here and in processes of their own."""

import os
import signal

import numpy as np
import pytest
import torch
from torch import nn

from imcomp.baselines import rim_mean
from imcomp.batch import Batch
from imcomp.box import Box
from imcomp.errors import InputError
from imcomp.evaluation.entrants import Classical, Network, Workers, build_entrants
from imcomp.inference import Trained

CPU = torch.device("cpu")


class Doubled(nn.Module):
    """Shows what it is shown, doubled."""

    multiple = 4
    reach = 0

    def forward(self, shown):
        return 2 * shown


def trained(in_channels=1, size=8, context=None):
    return Trained(Doubled(), {"in_channels": in_channels, "context": context}, {"size": size})


def batch_of(channels, count=2, box=None, size=8):
    pictures = torch.randint(0, 128, (count, channels, size, size), dtype=torch.uint8, generator=torch.Generator())
    mask = torch.zeros(count, 1, size, size)
    mask[..., 2:4, 2:6] = 1
    return Batch(pictures.float() / 255, mask, torch.arange(count), box), pictures


@pytest.mark.parametrize(("network", "pictures"), [(1, 1), (3, 3), (1, 3), (3, 1)])
@pytest.mark.parametrize("box", [None, Box(2, 2, 4, 6)])
def test_a_network_fills_pictures_of_any_channels(network, pictures, box):
    batch, levels = batch_of(pictures, box=box)
    entrant = Network(trained(network), CPU, channels=pictures, size=8)
    output, seconds = entrant.start(batch, levels)()
    assert output.shape == batch.image.shape
    hole = batch.mask.expand_as(output) > 0
    assert (output[hole] == 0).all()  # what is under the hole is not seen
    if box is None:
        assert torch.allclose(output[~hole], 2 * batch.image[~hole])
    assert seconds > 0
    assert len(entrant.notes) == (network != pictures)


def test_another_size_than_trained_is_noted():
    assert Network(trained(size=16), CPU, channels=1, size=8).notes == [
        "trained on pictures of 16 pixels a side, shown 8"
    ]
    assert Network(trained(), CPU, channels=1, size=8).notes == []


def test_a_size_that_the_network_does_not_take():
    with pytest.raises(InputError, match=r"mine: data\.size=30 is not a multiple of 4, .* give 32"):
        build_entrants({"mine": trained()}, {}, Workers(0, 1), CPU, channels=1, size=30)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [0, 2])
def test_classical_fills_keep_the_order(channels, count):
    batch, pictures = batch_of(channels, count=9)
    with Workers(count, 9) as workers:
        output, seconds = Classical(rim_mean, workers).start(batch, pictures)()
    for one, picture, mask in zip(output, pictures, batch.mask, strict=True):
        array = picture.permute(1, 2, 0).numpy() if channels == 3 else picture[0].numpy()
        expected = torch.from_numpy(rim_mean(array, mask[0].numpy() > 0)).view(8, 8, channels).permute(2, 0, 1)
        assert torch.equal(one * 255, expected.float())
    assert seconds > 0


def pid(picture, hole):
    filled = picture.copy()
    filled[:] = os.getpid() % 251
    return filled


def test_processes_are_others_than_this():
    batch, pictures = batch_of(1, count=2)
    with Workers(1, 2) as workers:
        there, _ = Classical(pid, workers).start(batch, pictures)()
    with Workers(0, 2) as workers:
        here, _ = Classical(pid, workers).start(batch, pictures)()
    assert (here * 255).unique().item() == pytest.approx(os.getpid() % 251)
    assert there.unique().item() != here.unique().item()


def ignores_ctrl_c(picture, hole):
    return np.full_like(picture, 255 * (signal.getsignal(signal.SIGINT) == signal.SIG_IGN))


def test_ctrl_c_is_left_to_the_first_process():
    batch, pictures = batch_of(1, count=2)
    with Workers(1, 2) as workers:
        there, _ = Classical(ignores_ctrl_c, workers).start(batch, pictures)()
    assert there.all()


@pytest.mark.parametrize("count", [-1, "many", 1.5])
def test_no_number_of_processes(count):
    with pytest.raises(InputError, match="is no number of processes; give auto, 0 or more"):
        Workers(count, 1)


def test_a_few_pictures_need_no_process():
    assert Workers("auto", 8).pool is None
    with Workers("auto", 10_000) as workers:
        assert workers.pool is not None  # which starts nothing before it has work


def test_known_pixels_are_not_what_is_scored_but_holes_are():
    batch, pictures = batch_of(1)
    with Workers(0, 2) as workers:
        output, _ = Classical(lambda picture, hole: np.where(hole, np.uint8(255), picture), workers).start(
            batch, pictures
        )()
    assert (output[batch.mask > 0] == 1).all()
    assert torch.equal(output[batch.mask == 0], batch.image[batch.mask == 0])
