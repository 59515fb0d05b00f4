import math
from copy import deepcopy
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from torch import nn
from torch.optim.swa_utils import AveragedModel

from imcomp.averaging import EMA, warmed_up
from imcomp.config import build
from imcomp.inference import Completer
from imcomp.losses import hole_mse
from imcomp.module import InpaintingModule
from imcomp.training import load_weights, train

QUICK = ("logger=csv", "callbacks.progress=null", "trainer.limit_train_batches=4")
EMA_RUN = (*QUICK, "callbacks=ema", "model.lr=0.03")


class Line(pl.LightningModule):
    """One weight, which falls by 1 a step; a counter beside it, and batch norm's kind of statistics."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.register_buffer("steps", torch.tensor(0))
        self.register_buffer("mean", torch.tensor(0.0))
        self.validated = []

    def training_step(self, batch, index):
        self.steps += 1
        self.mean += 1
        return self.weight.sum()

    def validation_step(self, batch, index):
        self.validated.append((self.weight.item(), self.mean.item(), self.steps.item()))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)


def fit(module, steps, decay):
    batches = torch.utils.data.DataLoader(range(steps), batch_size=1)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        callbacks=EMA(decay),
        num_sanity_val_steps=0,
        enable_model_summary=False,
        **quiet,
    )
    trainer.fit(module, batches, torch.utils.data.DataLoader([0]))
    return module


def test_the_decay_warms_up():
    assert [warmed_up(0.5, updates) for updates in (0, 2, 8, 100)] == [0.1, 0.25, 0.5, 0.5]


def test_statistics_are_averaged_like_weights_and_counters_are_not():
    # -1 is taken as it is; then d = 2/11 and 3/12
    second = -1 * 2 / 11 - 2 * 9 / 11
    third = second / 4 - 3 * 3 / 4

    module = fit(Line(), steps=3, decay=0.9)

    ((weight, mean, steps),) = module.validated
    assert weight == pytest.approx(third)
    assert mean == pytest.approx(-third)
    assert steps == 3
    assert module.weight.item() == weight  # the end of training leaves the average


def test_a_decay_of_nothing_is_no_average():
    assert fit(Line(), steps=3, decay=0).weight.item() == -3


@pytest.mark.parametrize("decay", [-0.1, 1, math.nan])
def test_what_is_no_decay_is_refused(decay):
    with pytest.raises(ValueError, match=r"is no decay of an average; give one from 0 to below 1"):
        EMA(decay)


@pytest.fixture(scope="module")
def run(train_config, tmp_path_factory):
    """A run with a test part: its config, metrics, folder, and the two checkpoints."""
    root = tmp_path_factory.mktemp("ema")
    cfg = train_config(root, *EMA_RUN, "data.test_fraction=0.1")
    metrics = train(cfg)
    folder = root / "run" / "checkpoints"
    best, last = (torch.load(folder / f"{name}.ckpt", weights_only=True) for name in ("best", "last"))
    return SimpleNamespace(cfg=cfg, metrics=metrics, folder=folder, best=best, last=last)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(value, other[key]) for key, value in one.items())


def test_checkpoints_hold_both_under_the_plain_names(run):
    plain = InpaintingModule(**run.best["hyper_parameters"]).state_dict().keys()

    for checkpoint in (run.best, run.last):
        assert checkpoint["state_dict"].keys() == checkpoint["current_model_state"].keys() == plain
        assert not same(checkpoint["state_dict"], checkpoint["current_model_state"])
    assert run.last["averaging_state"]["n_averaged"] == 8


@pytest.mark.parametrize("phase", ["val", "test"])
def test_the_scores_are_the_averages(run, phase):
    datamodule = build(run.cfg.data, "data", mask=OmegaConf.to_container(run.cfg.mask, resolve=True))
    datamodule.setup()
    module = InpaintingModule(**run.best["hyper_parameters"]).eval()
    means = {}
    for key in ("state_dict", "current_model_state"):
        module.load_state_dict(run.best[key])
        errors = []
        for pictures, indices in getattr(datamodule, f"{phase}_dataloader")():
            batch = datamodule.make_batch(pictures, indices)
            with torch.no_grad():
                errors.append(hole_mse(module(batch.image, batch.mask), batch.image, batch.mask))
        means[key] = torch.cat(errors).mean().item()

    assert run.metrics[f"{phase}/mse"] == pytest.approx(means["state_dict"], rel=1e-5)
    assert run.metrics[f"{phase}/mse"] != pytest.approx(means["current_model_state"], rel=1e-3)


def test_who_takes_the_weights_takes_the_average(run):
    module = InpaintingModule(**run.best["hyper_parameters"])
    load_weights(module, run.folder / "best.ckpt")

    assert same(module.state_dict(), run.best["state_dict"])
    network = Completer(run.folder / "best.ckpt", "cpu").network
    assert same({f"network.{key}": value for key, value in network.state_dict().items()}, run.best["state_dict"])


def test_the_module_can_be_copied_and_averaged_by_others():
    module = InpaintingModule(channels=[2, 4])

    assert same(deepcopy(module).state_dict(), module.state_dict())
    assert same(AveragedModel(module).module.state_dict(), module.state_dict())


def test_a_run_may_begin_to_average_when_it_is_resumed(train_config, tmp_path):
    train(train_config(tmp_path, *QUICK, "trainer.max_epochs=1"))
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"

    train(train_config(tmp_path, *EMA_RUN, f"resume={last}"))

    saved = torch.load(last, weights_only=True)
    assert saved["averaging_state"]["n_averaged"] == 4
    assert not same(saved["state_dict"], saved["current_model_state"])


def test_all_aids_to_training_work_together(train_config, tmp_path):
    options = ("model/scheduler=onecycle", "trainer.accumulate_grad_batches=2", "trainer.gradient_clip_val=0.01")
    cfg = train_config(tmp_path, *EMA_RUN, *options, "model.optimizer=adamw", "data.test_fraction=0.1")

    metrics = train(cfg)

    last = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] == 4  # two epochs of four batches, two of which make a step
    assert last["averaging_state"]["n_averaged"] == 4
    assert last["lr_schedulers"][0]["total_steps"] == last["lr_schedulers"][0]["last_epoch"] == 4
    assert not same(last["state_dict"], last["current_model_state"])
    assert 0 < metrics["test/mse"] < math.inf
