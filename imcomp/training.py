"""The whole of a training run: build, fit, test, report."""

import gc
import json
import logging
import os
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback, ProgressBar
from pytorch_lightning.loggers import Logger, TensorBoardLogger
from pytorch_lightning.utilities.exceptions import SIGTERMException

from imcomp.checkpoints import BestCheckpoint, LastCheckpoint
from imcomp.config import build, check_arguments, check_options, check_terms
from imcomp.data.augment import Augmentation
from imcomp.data.datamodule import InpaintingDataModule
from imcomp.data.masks import MASKS
from imcomp.data.pictures import write_bad_report
from imcomp.data.sources import SOURCES, left_out
from imcomp.endings import is_out_of_memory, why
from imcomp.errors import InputError, RunEnded
from imcomp.files import name_beside, remove_leftovers, write_text
from imcomp.losses import LOSSES
from imcomp.losses.adversarial import Adversarial
from imcomp.losses.summed import split_weight
from imcomp.machine import describe_arithmetic, fit_to_machine
from imcomp.models import NETWORKS
from imcomp.module import InpaintingModule
from imcomp.perf import compiled, find_device
from imcomp.processes import Company, Environment, Place, given_place
from imcomp.provenance import describe, describe_data, warn_of_differences, write_provenance
from imcomp.report import how_to_resume
from imcomp.seeding import draw_seed, read_seed
from imcomp.sharing import SyncNorms
from imcomp.signals import StopOnSignal
from imcomp.starting import check_resumed, load_weights
from imcomp.states import AtomicCheckpointIO, find_state, newest_good
from imcomp.sweeps.objectives import COSTS, check_names
from imcomp.weights import read_checkpoint

log = logging.getLogger(__name__)


def train(cfg: DictConfig, place: Place | None = None, *, latest: bool = True) -> dict[str, float]:
    """Train as the config says; see ``conf/train.yaml``.

    Writes ``checkpoints/``, logs, ``config.yaml`` and ``metrics.json`` into ``cfg.paths.output_dir``.

    Args:
        cfg: the composed config.
        place: this process's among several, as process 0 gave it; None is for process 0, and for one alone.
        latest: point ``latest`` among the outputs to the run.

    Returns:
        The metrics of the best epoch (`val/mse`, `val/accuracy`, `val/psnr`, `epoch`), and `test/...` where the data
        have a test part.

    Raises:
        InputError: a mistake in the config or the data.
        RunEnded: the run cannot go on; its state is saved.
        SystemExit: a signal ended the run; its state is saved.
    """
    # Lightning 2.6 tells its users of an internal of its own that torch 2.15 deprecates
    warnings.filterwarnings("ignore", module=r"pytorch_lightning\.utilities\._pytree")
    cfg = cfg.copy()
    if cfg.resume == "auto":
        state = find_state(Path(cfg.paths.output_dir))
        cfg.resume = str(state) if state else None
    if cfg.seed is None:
        cfg.seed = choose_seed(cfg.resume)
    while True:
        try:
            return _train(cfg, Environment(place or given_place()), latest=latest)
        except _TooLarge:
            if place is not None:
                raise RunEnded("out of memory") from None  # what comes next is for process 0 to say
            _halve_batch(cfg)


def choose_seed(resume: str | Path | None) -> int:
    """The seed of a run that was given none: that of the state it goes on from, else a drawn one."""
    return read_seed(resume) if resume else draw_seed()


class _TooLarge(Exception):  # noqa: N818 - not an error, where it is caught
    """A batch did not fit into memory, and half of it may."""


def _halve_batch(cfg: DictConfig) -> None:
    size = cfg.data.batch_size
    if size % 2:
        raise RunEnded(
            f"out of memory with data.batch_size={size}, which has no half; give a smaller data.size or model"
        )
    cfg.data.batch_size = size // 2
    cfg.trainer.accumulate_grad_batches *= 2
    state = find_state(Path(cfg.paths.output_dir))
    cfg.resume = str(state) if state else cfg.resume
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    log.warning("out of memory with %d pictures a batch; on with %d and twice the accumulation", size, size // 2)


@dataclass(frozen=True)
class _Run:
    """What a config is built into."""

    cfg: DictConfig
    datamodule: InpaintingDataModule
    module: InpaintingModule
    callbacks: list[Callback]
    loggers: list[Logger]
    trainer: pl.Trainer
    company: Company

    @property
    def output_dir(self) -> Path:
        return Path(self.cfg.paths.output_dir)


def _train(cfg: DictConfig, environment: Environment, *, latest: bool) -> dict[str, float]:
    started = time.monotonic()
    output_dir = Path(cfg.paths.output_dir)
    config = OmegaConf.to_yaml(cfg, resolve=True)
    first = environment.global_rank() == 0
    if first:
        output_dir.mkdir(parents=True, exist_ok=True)
        remove_leftovers(output_dir)
        write_text(output_dir / "config.yaml", config)
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    run = _build(fit_to_machine(cfg, environment), environment, config)
    _read_data(run)
    run.datamodule.check_shares(run.trainer.world_size)
    assert run.datamodule.source is not None
    if first:
        if bad := left_out(run.datamodule.source):
            write_bad_report(bad, output_dir / "left_out.tsv")
        if latest:
            _point_latest(Path(cfg.paths.outputs) / "latest", output_dir)
        _keep_provenance(run, config)
    log.info("%s with %s parameters", cfg.model.network, f"{sum(map(torch.numel, run.module.network.parameters())):,}")
    among = f", {run.trainer.world_size} processes" if run.trainer.world_size > 1 else ""
    log.info("%s on %s%s", describe_arithmetic(run.cfg), run.trainer.strategy.root_device, among)
    metrics = _guarded(run)
    if first:
        metrics["seconds"] = round(time.monotonic() - started, 1)
        _record(run, metrics)
    return metrics


def _read_data(run: _Run) -> None:
    try:
        run.datamodule.setup("fit")
    except Exception as error:
        if (reason := why(error)) is None:
            raise
        raise RunEnded(f"{reason}; {_way_on(run.output_dir)}") from error


def _keep_provenance(run: _Run, config: str) -> None:
    """Write down what the run is; where it repeats another, say what is not as it was there."""
    cfg, datamodule = run.cfg, run.datamodule
    assert datamodule.split is not None
    parts = {part: len(indices) for part, indices in datamodule.split._asdict().items()}
    described = describe(
        config=config,
        seed=cfg.seed,
        data=describe_data(datamodule.source, cfg.data.source, parts),
        device=str(run.trainer.strategy.root_device),
        processes=run.trainer.world_size,
        resumed=cfg.resume,
    )
    write_provenance(run.output_dir, described)
    if cfg.rerun:
        warn_of_differences(Path(cfg.rerun), described)


def _build(cfg: DictConfig, environment: Environment, config: str) -> _Run:
    datamodule, module = build_data_and_module(cfg)
    _check_names(cfg, module)
    if cfg.init:
        load_weights(module, cfg.init, cfg.init_only)
    if cfg.resume:
        cfg.resume = str(newest_good(Path(cfg.resume)))
        check_resumed(module, read_checkpoint(cfg.resume), cfg.resume)
    callbacks: list[Callback] = [build(node, f"callbacks.{key}") for key, node in cfg.callbacks.items() if node]
    for callback in callbacks:
        if isinstance(callback, LastCheckpoint) and cfg.halve_on_oom:
            callback.unless = is_out_of_memory  # the next attempt goes on from an epoch's end
    loggers: list[Logger] = [build(node, f"logger.{key}") for key, node in cfg.logger.items() if node]
    if "enable_progress_bar" not in cfg.trainer and not any(isinstance(entry, ProgressBar) for entry in callbacks):
        # without one of ours, Lightning would put up its own
        OmegaConf.update(cfg, "trainer.enable_progress_bar", False, force_add=True)
    company = Company(environment, config)
    plugins: list[Any] = [AtomicCheckpointIO(), environment]
    # the data module deals pictures out itself, each to one process
    OmegaConf.update(cfg, "trainer.use_distributed_sampler", False, force_add=True)
    if cfg.trainer.get("sync_batchnorm") and find_device(cfg.trainer.accelerator).type == "cpu":
        plugins.append(SyncNorms())
        cfg.trainer.sync_batchnorm = False  # torch's own is for accelerators alone
    trainer: pl.Trainer = build(
        cfg.trainer, "trainer", callbacks=[*callbacks, company], logger=loggers or False, plugins=plugins
    )
    return _Run(cfg, datamodule, module, callbacks, loggers, trainer, company)


def _guarded(run: _Run) -> dict[str, float]:
    """Train, and word what ends it early."""
    cfg, output_dir = run.cfg, run.output_dir
    try:
        with run.company, compiled(run.module.network) if cfg.perf.compile else nullcontext():
            return _fit(run)
    except SystemExit as stop:
        log.warning("stopped in epoch %d; %s", run.trainer.current_epoch, _way_on(output_dir))
        raise SystemExit(_exit_code(stop, run.callbacks)) from None
    except InputError:
        raise
    except MisconfigurationException as error:
        raise InputError(" ".join(str(error).split())) from error
    except Exception as error:
        if cfg.halve_on_oom and is_out_of_memory(error):
            raise _TooLarge from None
        reason = why(error, run.company.lost)
        if reason is None:
            raise
        raise RunEnded(f"{reason}; {_way_on(output_dir)}") from error


def _fit(run: _Run) -> dict[str, float]:
    cfg, trainer = run.cfg, run.trainer
    trainer.fit(run.module, datamodule=run.datamodule, ckpt_path=cfg.resume, weights_only=True)
    metrics = _best_metrics(trainer)
    if cfg.monitor not in metrics:
        raise InputError(
            f"the run ended without a validation, so there is no {cfg.monitor};"
            " give trainer.max_epochs and trainer.limit_val_batches above 0, and a monitor that is logged"
        )
    if cfg.test and run.datamodule.split is not None and run.datamodule.split.test:
        metrics |= _test(trainer, run.module, run.datamodule)
    metrics |= _costs(cfg.objectives, trainer, run.module, run.datamodule)
    return metrics


def _record(run: _Run, metrics: Mapping[str, float]) -> None:
    write_text(run.output_dir / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    for logger in run.loggers:
        if isinstance(logger, TensorBoardLogger):
            # not under the curves' own names, which would get one more point each
            scores = {f"best/{key}": value for key, value in metrics.items() if "/" in key}
            data = {f"data/{key}": value for key, value in run.datamodule.hparams.items()}
            logger.log_hyperparams({**run.module.hparams, **data}, scores)
            logger.save()


def check(cfg: DictConfig) -> None:
    """Find what is wrong with a config before any picture is read: a sweep asks this of the bounds of its space.

    Raises:
        InputError: a mistake in it.
    """
    cfg = fit_to_machine(cfg)
    values = OmegaConf.to_container(cfg.trainer, resolve=True)
    assert isinstance(values, dict)
    check_arguments(pl.Trainer, {str(key): value for key, value in values.items()}, "trainer")
    _check_names(cfg, build_data_and_module(cfg)[1])


def _check_names(cfg: DictConfig, module: InpaintingModule) -> None:
    validated = {*module.val_metrics, "val/loss", *(f"val/loss/{name}" for name in module.val_parts)}
    check_names(cfg.monitor, cfg.objectives, validated)


def build_data_and_module(cfg: DictConfig) -> tuple[InpaintingDataModule, InpaintingModule]:
    """Build what reads the pictures and what learns from them; nothing is read yet.

    Raises:
        InputError: a mistake in their groups, or a size that the network does not take.
    """
    if cfg.init_only and not cfg.init:
        raise InputError(f"init_only={cfg.init_only} is a part of weights that are not given; give init=PATH too")
    datamodule = build_data(cfg)
    module = build_module(cfg)
    _check_pictures(datamodule, module)
    datamodule.window = module.window((datamodule.size, datamodule.size), datamodule.box)
    return datamodule, module


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


def build_module(cfg: DictConfig) -> InpaintingModule:
    """Build what trains the network: ``model._target_``, or ``AdversarialModule`` where the loss is ``adversarial``.

    Args:
        cfg: ``model`` and ``loss`` of a composed ``conf/train.yaml``.

    Raises:
        InputError: an unknown name or key, or a value of the wrong type or that is refused.
    """
    check_options(cfg.model, "model", NETWORKS, "network")
    check_terms(cfg.loss, "loss", {**LOSSES, "adversarial": Adversarial})
    terms: Any = OmegaConf.to_container(cfg.loss, resolve=True, throw_on_missing=True)
    model = cfg.model.copy()
    if split_weight("adversarial", terms.get("adversarial"))[0]:
        model._target_ = "imcomp.adversarial.AdversarialModule"
    else:
        terms.pop("adversarial", None)
    module: InpaintingModule = build(model, "model", loss=terms)
    return module


def _way_on(output_dir: Path) -> str:
    return f"go on with: {how_to_resume(output_dir)}" if find_state(output_dir) else "nothing was trained yet"


def _exit_code(stop: SystemExit, callbacks: Sequence[Callback]) -> int | str | None:
    if isinstance(stop, SIGTERMException):
        codes = [callback.exit_code for callback in callbacks if isinstance(callback, StopOnSignal)]
        return codes[0] if codes and codes[0] else 143
    return 130 if stop.code == 1 else stop.code  # 1 is how Lightning ends after Ctrl-C


def _check_pictures(datamodule: InpaintingDataModule, module: InpaintingModule) -> None:
    if module.in_channels != datamodule.channels:
        raise InputError(
            f"model.in_channels={module.in_channels} is not data.channels={datamodule.channels}; give the latter alone"
        )
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


def _costs(
    names: Sequence[str], trainer: pl.Trainer, module: InpaintingModule, datamodule: InpaintingDataModule
) -> dict[str, float]:
    """Measure those objectives that are costs of the network, on one batch of validation and the run's device."""
    wanted = [name for name in names if name in COSTS]
    if not wanted:
        return {}
    device = trainer.strategy.root_device
    pictures, indices = next(iter(datamodule.val_dataloader()))
    batch = datamodule.make_batch(pictures.to(device), indices.to(device))
    module.to(device)
    return {name: COSTS[name](module, batch) for name in wanted}


def _point_latest(link: Path, target: Path) -> None:
    """Point ``link`` to the run's folder, atomically; where links are not allowed, leave it be."""
    beside = name_beside(link)
    try:
        beside.unlink(missing_ok=True)
        beside.symlink_to(os.path.relpath(target, link.parent), target_is_directory=True)
        beside.replace(link)
    except OSError as error:
        log.warning("cannot point %s to this run (%s)", link, error)
