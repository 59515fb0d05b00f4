"""Scoring: right in the head, whatever the batches, on every part as the trainer does, and never all pictures held."""

import math

import pytest
import pytorch_lightning as pl
import torch
from PIL import Image
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance

from imcomp.batch import Batch
from imcomp.data.datamodule import InpaintingDataModule
from imcomp.data.loading import whole_batch
from imcomp.errors import InputError
from imcomp.evaluation.entrants import Classical, Network, Workers
from imcomp.evaluation.scoring import _Tally, score
from imcomp.evaluation.statistics import bin_of
from imcomp.inference import Trained
from imcomp.module import InpaintingModule
from imcomp.scores import AREAS

CPU = torch.device("cpu")
DATA = {
    "source": "synthetic",
    "mask": {"name": "center", "size": 8},
    "size": 32,
    "val_fraction": 0.3,
    "seed": 5,
    "batch_size": 4,
    "num_workers": 0,
    "count": 20,
}


def scored(fills, part="val", module=None, data=None, **options):
    """Score fills, and a module's network as `network`."""
    datamodule = data or InpaintingDataModule(**DATA)
    datamodule.setup()
    with Workers(0, 20) as workers:
        entrants = {name: Classical(fill, workers) for name, fill in fills.items()}
        if module is not None:
            trained = Trained(module.eval().network, {"in_channels": module.in_channels}, {"size": datamodule.size})
            entrants["network"] = Network(trained, CPU, channels=datamodule.channels, size=datamodule.size)
        return score(entrants, datamodule, part, device=CPU, **options)


def same(picture, hole):
    return picture


@pytest.fixture
def black(tmp_path):
    """Two black pictures, one of them for validation, with a hole of four pixels."""
    for name in ("black", "too"):
        Image.new("L", (16, 16), 0).save(tmp_path / f"{name}.png")
    mask = {"name": "center", "size": 2}
    return InpaintingDataModule("folder", mask, size=16, val_fraction=0.5, num_workers=0, root=str(tmp_path))


def test_a_fill_that_is_wrong_by_one_in_one_of_four_pixels_scores_a_quarter(black):
    def one_wrong(picture, hole):
        assert hole.sum() == 4
        completed = picture.copy()
        completed[7, 7] = 255
        return completed

    result = scored({"one wrong": one_wrong, "right": same}, data=black).scores
    assert {key: values.tolist() for key, values in result["one wrong"].items()} == {
        "mse": [0.25],
        "mae": [0.25],
        "psnr": [pytest.approx(6.0206, abs=1e-4)],  # 10 log10(4)
        "ssim": [pytest.approx(0.044, abs=0.001)],  # black is alike in nothing but black
        "accuracy": [0],
    }
    assert {key: values.tolist() for key, values in result["right"].items()} == {
        "mse": [0],
        "mae": [0],
        "psnr": [100],
        "ssim": [1],
        "accuracy": [1],
    }


def test_what_else_is_known_of_a_picture(black):
    result = scored({"right": same}, data=black)
    assert result.areas.tolist() == [4 / 256]
    assert result.positions.tolist() == [0]
    assert result.pictures == 1
    assert result.speed("right") > 0


def test_a_tenth_lies_in_the_bin_up_to_it():
    mask = torch.zeros(1, 1, 10, 10)
    mask[..., 0, :] = 1
    tally = _Tally({}, None)
    tally.add(Batch(torch.zeros(1, 1, 10, 10), mask, torch.zeros(1, dtype=torch.int64), None), {}, {})
    (area,) = tally.areas
    assert AREAS[bin_of(area)[0] + 1] == 0.1


def test_the_networks_output_is_scored_unclamped(black):
    module = InpaintingModule(channels=[4])
    module.network.forward = lambda shown: shown - 2
    assert scored({}, data=black, module=module).scores["network"]["mse"].tolist() == [4]


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_every_part_scores_as_the_trainer_does(part):
    options = {**DATA, "test_fraction": 0.2}
    datamodule = InpaintingDataModule(**options)
    datamodule.setup()
    datamodule.train_dataloader = lambda: torch.utils.data.DataLoader(
        datamodule.dataset("train"), batch_size=4, collate_fn=whole_batch
    )
    module = InpaintingModule(channels=[4, 8])
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    datamodule.test_dataloader = getattr(datamodule, f"{part}_dataloader")
    (logged,) = trainer.test(module, datamodule=datamodule, verbose=False)
    result = scored({}, part, module, InpaintingDataModule(**options)).scores["network"]["mse"]
    assert result.mean() == pytest.approx(logged["test/mse"], rel=1e-6)
    assert len(result) == {"train": 10, "val": 6, "test": 4}[part]


def test_batches_do_not_change_the_scores():
    module = InpaintingModule(channels=[4, 8])
    by_four, at_once = (
        scored({}, module=module, data=InpaintingDataModule(**{**DATA, "batch_size": size})).scores["network"]["mse"]
        for size in (4, 20)
    )
    assert by_four == pytest.approx(at_once, rel=1e-5)
    assert len(by_four) == 6


def test_a_limit_takes_the_first():
    every, some = scored({"same": same}), scored({"same": same}, limit=2)
    assert some.positions.tolist() == [0, 1]
    assert some.groups == every.groups[:2]


def test_pictures_without_a_hole_do_not_count():
    data = InpaintingDataModule(**DATA)

    def every_other(size, seeds):
        mask = torch.zeros(len(seeds), 1, *size)
        mask[::2, :, 2:4, 2:4] = 1
        return mask

    data.mask = every_other
    result = scored({"same": same}, data=data)
    assert result.positions.tolist() == [0, 2, 4]
    assert (len(result.groups), result.pictures) == (3, 6)
    assert result.scores["same"]["mse"].tolist() == [0, 0, 0]


def test_further_metrics():
    result = scored({"same": same}, further={"side": lambda output, target, mask: mask.sum(dim=(1, 2, 3)) ** 0.5})
    assert result.scores["same"]["side"].tolist() == [8] * 6


class Corners(nn.Module):
    """Four features of a picture: its corners."""

    num_features = 4

    def forward(self, pictures):
        return torch.stack([pictures[:, 0, row, column] for row in (0, -1) for column in (0, -1)], dim=1)


def test_fid_is_each_entrants_own():
    def fid():
        return FrechetInceptionDistance(Corners(), compute_with_cache=False)

    def darker(picture, hole):
        return picture // 2

    def corners(size, seeds):
        return torch.ones(len(seeds), 1, *size)  # all is hole

    data = InpaintingDataModule(**DATA)
    data.mask = corners
    result = scored({"same": same, "darker": darker}, data=data, fid=fid())
    pictures = torch.stack([data.dataset("val")[place][0] for place in range(6)])
    expected = fid()
    expected.update(pictures.float() / 255, real=True)
    expected.update((pictures // 2).float() / 255, real=False)
    assert result.fid["same"] == pytest.approx(0, abs=1e-5)
    assert result.fid["darker"] == pytest.approx(expected.compute().item(), rel=1e-4)
    assert result.fid["darker"] > 1e-3
    assert math.isnan(scored({"same": same}, limit=1, fid=fid()).fid["same"])


@pytest.mark.parametrize(
    ("part", "limit", "words"),
    [("all", None, "part=all is unknown"), ("val", 0, "limit=0 leaves no"), ("test", None, "no test")],
)
def test_nothing_to_score(part, limit, words):
    with pytest.raises(InputError, match=words):
        scored({"same": same}, part, limit=limit)
