"""The whole of a training run: build, fit, test, report."""

import json
import logging
import os
import time
import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger, TensorBoardLogger
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch import Tensor

from imcomp.checkpoints import AtomicCheckpointIO, BestCheckpoint
from imcomp.config import build, check_arguments, check_options
from imcomp.data.augment import Augmentation
from imcomp.data.datamodule import InpaintingDataModule
from imcomp.data.masks import MASKS
from imcomp.data.pictures import write_bad_report
from imcomp.data.sources import SOURCES, left_out
from imcomp.errors import InputError
from imcomp.files import write_text
from imcomp.models import NETWORKS
from imcomp.module import OPTIMIZERS, InpaintingModule
from imcomp.perf import Perf, can_fuse, compiled, fastest_precision, find_device, set_arithmetic
from imcomp.report import how_to_resume
from imcomp.weights import read_checkpoint

log = logging.getLogger(__name__)


def train(cfg: DictConfig) -> dict[str, float]:
    """Train as the config says; see ``conf/train.yaml``.

    Writes ``checkpoints/``, logs, ``config.yaml`` and ``metrics.json`` into ``cfg.paths.output_dir``.

    Returns:
        The metrics of the best epoch (`val/mse`, `val/accuracy`, `val/psnr`, `epoch`), and `test/...` where the data
        have a test part.

    Raises:
        InputError: a mistake in the config or the data.
        SystemExit: a signal ended the run; its state is saved.
    """
    started = time.monotonic()
    # Lightning 2.6 tells its users of an internal of its own that torch 2.15 deprecates
    warnings.filterwarnings("ignore", module=r"pytorch_lightning\.utilities\._pytree")
    output_dir = Path(cfg.paths.output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    write_text(output_dir / "config.yaml", OmegaConf.to_yaml(cfg, resolve=True))
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    cfg = fit_to_machine(cfg)

    datamodule = build_data(cfg)
    check_options(cfg.model, "model", NETWORKS, "network")
    module: InpaintingModule = build(cfg.model, "model")
    _check_size(datamodule, module)
    datamodule.window = module.window((datamodule.size, datamodule.size), datamodule.box)
    if cfg.init:
        load_weights(module, cfg.init)
    if cfg.resume:
        _check_weights(module, read_checkpoint(cfg.resume)["state_dict"], cfg.resume)
    callbacks: list[Callback] = [build(node, f"callbacks.{key}") for key, node in cfg.callbacks.items() if node]
    loggers: list[Logger] = [build(node, f"logger.{key}") for key, node in cfg.logger.items() if node]
    trainer: pl.Trainer = build(
        cfg.trainer, "trainer", callbacks=callbacks, logger=loggers or False, plugins=[AtomicCheckpointIO()]
    )
    datamodule.setup("fit")
    assert datamodule.source is not None
    if bad := left_out(datamodule.source):
        write_bad_report(bad, output_dir / "left_out.tsv")
    _point_latest(Path(cfg.paths.outputs) / "latest", output_dir)

    log.info("%s with %s parameters", cfg.model.network, f"{sum(map(torch.numel, module.parameters())):,}")
    log.info("%s on %s", describe_arithmetic(cfg), trainer.strategy.root_device)
    try:
        with compiled(module.network) if cfg.perf.compile else nullcontext():
            trainer.fit(module, datamodule=datamodule, ckpt_path=cfg.resume, weights_only=True)
            metrics = _best_metrics(trainer)
            if cfg.monitor not in metrics:
                raise InputError(
                    f"the run ended without a validation, so there is no {cfg.monitor};"
                    " give trainer.max_epochs and trainer.limit_val_batches above 0, and a monitor that is logged"
                )
            if cfg.test and datamodule.split is not None and datamodule.split.test:
                metrics |= _test(trainer, module, datamodule)
    except SystemExit as stop:
        code = 143 if isinstance(stop, SIGTERMException) else 130  # 128 + the signal's number, as shells have it
        begun = (output_dir / "checkpoints" / "last.ckpt").is_file()
        way_on = f"go on with: {how_to_resume(output_dir)}" if begun else "nothing was trained yet"
        log.warning("stopped in epoch %d; %s", trainer.current_epoch, way_on)
        raise SystemExit(code) from None
    if trainer.is_global_zero:
        metrics["seconds"] = round(time.monotonic() - started, 1)
        write_text(output_dir / "metrics.json", json.dumps(metrics, indent=2) + "\n")
        for logger in loggers:
            if isinstance(logger, TensorBoardLogger):
                # not under the curves' own names, which would get one more point each
                scores = {f"best/{key}": value for key, value in metrics.items() if "/" in key}
                data = {f"data/{key}": value for key, value in datamodule.hparams.items()}
                logger.log_hyperparams({**module.hparams, **data}, scores)
                logger.save()
    return metrics


def build_data(cfg: DictConfig) -> InpaintingDataModule:
    """Build the data module of a composed ``conf/train.yaml``: its pictures, holes and augmentation.

    Raises:
        InputError: a mistake in them.
    """
    check_options(cfg.mask, "mask", MASKS, "name")
    check_options(cfg.data, "data", SOURCES, "source")
    groups = {key: OmegaConf.to_container(cfg[key], resolve=True, throw_on_missing=True) for key in ("mask", "augment")}
    check_arguments(Augmentation, cast("dict[str, Any]", groups["augment"]), "augment")
    datamodule: InpaintingDataModule = build(cfg.data, "data", **groups)
    return datamodule


def fit_to_machine(cfg: DictConfig) -> DictConfig:
    """Settle what the config leaves to the machine, and set how this process computes float32.

    Args:
        cfg: a composed ``conf/train.yaml``; it is left as it is.

    Returns:
        A copy in which ``trainer.precision`` is not `auto`, and ``model.fused`` is true only where that is possible.

    Raises:
        InputError: a key of the group ``perf`` that is unknown or of the wrong type.
    """
    cfg = cfg.copy()
    values = OmegaConf.to_container(cfg.perf)
    assert isinstance(values, dict)
    check_arguments(Perf, {str(key): value for key, value in values.items()}, "perf")
    set_arithmetic(tf32=cfg.perf.tf32, flush_denormal=cfg.perf.flush_denormal)
    device = find_device(cfg.trainer.accelerator)
    if cfg.trainer.precision == "auto":
        cfg.trainer.precision = fastest_precision(device)
    # with float16 a fused optimiser unscales the gradients itself, too late to clip them
    clipped = cfg.trainer.gradient_clip_val and cfg.trainer.precision == "16-mixed"
    if cfg.model.fused and (clipped or not can_fuse(device)):
        cfg.model.fused = False
    return cfg


def describe_arithmetic(cfg: DictConfig) -> str:
    """Word what was chosen, such as `bf16-mixed, channels last, fused Adam`."""
    optimizer = OPTIMIZERS[cfg.model.optimizer].__name__
    chosen = [
        str(cfg.trainer.precision),
        "channels last" if cfg.model.channels_last else "",
        f"fused {optimizer}" if cfg.model.fused else optimizer,
        "compiled" if cfg.perf.compile else "",
    ]
    return ", ".join(filter(None, chosen))


def load_weights(module: InpaintingModule, path: str | Path) -> None:
    """Start from another run's weights: all of the network's, and nothing else.

    Raises:
        InputError: not a checkpoint, or of a network of another shape.
    """
    weights = read_checkpoint(path)["state_dict"]
    _check_weights(module, weights, path)
    module.load_state_dict({key: weights[key] for key in module.state_dict()})


def _check_weights(module: InpaintingModule, weights: Mapping[str, Tensor], path: str | Path) -> None:
    own = module.state_dict()
    if missing := sorted(own.keys() - weights.keys()):
        raise InputError(
            f"{path} holds another network: it has no {missing[0]}; give model=... and model.* as it was trained"
        )
    for key, tensor in own.items():
        if tensor.shape != weights[key].shape:
            raise InputError(
                f"{path} holds another network: {key} is {tuple(weights[key].shape)}, expected {tuple(tensor.shape)};"
                " give data.channels and model.* as it was trained"
            )


def _check_size(datamodule: InpaintingDataModule, module: InpaintingModule) -> None:
    size, multiple = datamodule.size, module.multiple
    if size % multiple:
        below, above = size // multiple * multiple, -(-size // multiple) * multiple
        choices = f"{below} or {above}" if below else str(above)
        raise InputError(f"data.size={size} is not a multiple of {multiple}, which this network needs; give {choices}")


def _best_metrics(trainer: pl.Trainer) -> dict[str, float]:
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, BestCheckpoint) and callback.metrics:
            return dict(callback.metrics)
    return {key: float(value) for key, value in trainer.callback_metrics.items() if key.startswith("val/")}


def _test(trainer: pl.Trainer, module: InpaintingModule, datamodule: InpaintingDataModule) -> dict[str, float]:
    best = trainer.checkpoint_callback.best_model_path if trainer.checkpoint_callback else None  # type: ignore[attr-defined]
    trainer.test(module, datamodule=datamodule, ckpt_path=best or None, weights_only=True, verbose=False)
    return {key: float(value) for key, value in trainer.callback_metrics.items() if key.startswith("test/")}


def _point_latest(link: Path, target: Path) -> None:
    """Point ``link`` to the run's folder, atomically; where links are not allowed, leave it be."""
    beside = link.with_name(f".{link.name}.{os.getpid()}")
    try:
        beside.unlink(missing_ok=True)
        beside.symlink_to(os.path.relpath(target, link.parent), target_is_directory=True)
        beside.replace(link)
    except OSError as error:
        log.warning("cannot point %s to this run (%s)", link, error)
