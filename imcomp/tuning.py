"""Looking for a learning rate or a batch size before training: Lightning's tuner, run on a training's own parts."""

import csv
import io
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.tuner.tuning import Tuner

from imcomp.config import build
from imcomp.data.cache import available_memory
from imcomp.data.datamodule import InpaintingDataModule
from imcomp.errors import InputError
from imcomp.files import atomic, write_text
from imcomp.machine import fit_to_machine
from imcomp.module import InpaintingModule
from imcomp.processes import Environment
from imcomp.seeding import draw_seed
from imcomp.starting import load_weights
from imcomp.training import build_data_and_module

RATES = 100
"""Learning rates that are tried, one optimiser step each."""
LOWEST, HIGHEST = 1e-6, 1.0
_SETTLING = 10  # steps until the smoothed loss says something
_LARGEST = {"cpu": 256}  # pictures a batch; a CPU with more is no quicker
_LARGEST_ELSEWHERE = 8192


def find_lr(cfg: DictConfig) -> float:
    """Raise the learning rate step by step until the loss runs away, and suggest where it falls steepest.

    L. N. Smith: Cyclical Learning Rates for Training Neural Networks, WACV 2017. Writes ``lr_find.csv`` and
    ``lr_find.html`` into ``cfg.paths.output_dir``.

    Args:
        cfg: a composed ``conf/train.yaml``.

    Returns:
        The rate, for ``model.lr``.

    Raises:
        InputError: a mistake in the config, a network trained by two optimisers, or a loss that never falls.
    """
    datamodule, module, trainer = _build(cfg)
    if not module.automatic_optimization:
        raise InputError(
            "tune=lr: loss.adversarial trains two networks, each with a rate of its own; find model.lr with"
            " loss.adversarial=0"
        )
    rising: dict[str, Any] = {"min_lr": LOWEST, "max_lr": HIGHEST, "num_training": RATES}
    # a loss runs away above so many times the lowest, which says nothing of one below 0
    threshold = None if "psnr" in module.loss.weights else 4.0
    with _worded("lr"):
        finder: Any = Tuner(trainer).lr_find(
            module, datamodule=datamodule, early_stop_threshold=threshold, update_attr=False, **rising
        )
    if finder is None:
        raise InputError("tune=lr: nothing was tried; give trainer.fast_dev_run=false")
    rates, losses = finder.results["lr"], finder.results["loss"]
    found = suggest_rate(rates, losses)
    output_dir = Path(cfg.paths.output_dir)
    if trainer.is_global_zero:
        _write(rates, losses, found, output_dir)
    if found is None:
        raise InputError(
            f"tune=lr: the loss falls at none of {len(rates)} rates from {LOWEST:g} on; see {output_dir}/lr_find.html,"
            " and give model.lr yourself"
        )
    return float(f"{found:.2g}")  # the method tells no more digits


def find_batch_size(cfg: DictConfig) -> int:
    """Double the batch until it no longer fits the memory, and give the last size that did.

    On a CPU, where larger batches are no quicker, 256 pictures are tried at most.

    Args:
        cfg: a composed ``conf/train.yaml``.

    Returns:
        The number, for ``data.batch_size``.

    Raises:
        InputError: a mistake in the config, or a network trained by two optimisers.
    """
    datamodule, module, trainer = _build(cfg)
    device = trainer.strategy.root_device.type
    datamodule.setup("fit")
    pictures = len(datamodule.dataset("train"))
    most = min(_LARGEST.get(device, _LARGEST_ELSEWHERE), 1 << (pictures.bit_length() - 1))
    datamodule.batch_size = min(2, most)  # Lightning has made the loader when it sets its first size
    with _worded("batch_size"), _memory_bound(device):
        found = Tuner(trainer).scale_batch_size(
            module, datamodule=datamodule, init_val=datamodule.batch_size, max_val=2 * most
        )
    if found is None:
        raise InputError("tune=batch_size: nothing was tried; give trainer.fast_dev_run=false")
    return min(found, most)


FINDERS: dict[str, tuple[str, Callable[[DictConfig], float]]] = {
    "lr": ("model.lr", find_lr),
    "batch_size": ("data.batch_size", find_batch_size),
}
"""What can be looked for: the key that it is for, and who looks."""


def _build(cfg: DictConfig) -> tuple[InpaintingDataModule, InpaintingModule, pl.Trainer]:
    cfg = cfg.copy()
    if cfg.seed is None:
        cfg.seed = draw_seed()
    # one process tells what any of several would find
    for key, value in {"devices": 1, "num_nodes": 1, "strategy": "auto"}.items():
        OmegaConf.update(cfg, f"trainer.{key}", value, force_add=True)
    output_dir = Path(cfg.paths.output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    write_text(output_dir / "config.yaml", OmegaConf.to_yaml(cfg, resolve=True))
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    cfg = fit_to_machine(cfg, Environment(None))
    datamodule, module = build_data_and_module(cfg)
    if cfg.init:
        load_weights(module, cfg.init, cfg.init_only)
    options: Any = OmegaConf.to_container(cfg.trainer, resolve=True)
    for key in ("max_steps", "max_time", "limit_train_batches"):
        options.pop(key, None)
    # as many epochs as it takes; nothing of a run's is kept
    options |= {"max_epochs": 1_000_000, "enable_checkpointing": False, "enable_model_summary": False}
    options |= {"default_root_dir": str(cfg.paths.output_dir)}
    trainer: pl.Trainer = build(OmegaConf.create(options), "trainer", logger=False)
    return datamodule, module, trainer


@contextmanager
def _worded(what: str) -> Iterator[None]:
    try:
        yield
    except MisconfigurationException as error:
        raise InputError(f"tune={what}: {error}") from error


@contextmanager
def _memory_bound(device: str) -> Iterator[None]:
    """On a CPU under Linux, let an allocation fail before the system ends the process for it."""
    if device != "cpu" or not sys.platform.startswith("linux"):
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (used + available_memory(), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _write(rates: Sequence[float], losses: Sequence[float], found: float | None, folder: Path) -> None:
    """Write the curve as a table and as a picture to look at in a browser."""
    import plotly.graph_objects as go  # type: ignore[import-untyped]  # slow to import

    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([("lr", "loss"), *zip(rates, losses, strict=True)])
    write_text(folder / "lr_find.csv", table.getvalue())
    figure = go.Figure(go.Scatter(x=rates, y=losses, name="loss, smoothed"))
    figure.update_xaxes(type="log", title="learning rate", exponentformat="power")
    figure.update_yaxes(title="loss, smoothed")
    if found is not None:
        figure.add_vline(found, line_dash="dash", annotation_text=f"model.lr={found:.2g}")
    with atomic(folder / "lr_find.html") as beside:
        figure.write_html(beside)


def suggest_rate(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """The rate at which the loss falls steepest as the rate is multiplied; None where it never falls.

    Lightning's own suggestion takes the slope over the rate itself, which favours the smallest ones: there the same
    fall comes over a step a million times shorter.

    Args:
        rates: rising by a constant factor.
        losses: smoothed, one for each rate.
    """
    points = [(rate, loss) for rate, loss in zip(rates, losses, strict=True) if math.isfinite(loss)][_SETTLING:]
    if len(points) < 2:
        return None
    # what comes after the lowest loss is on its way up
    lowest = min(range(len(points)), key=lambda place: points[place][1])
    falling = torch.tensor([loss for _, loss in points[: lowest + 1]])
    if len(falling) < 2:
        return None
    steepest = int(torch.gradient(falling)[0].argmin())
    return points[steepest][0]
