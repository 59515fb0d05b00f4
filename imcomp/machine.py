"""What a config leaves to the machine, settled before a run is built."""

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from imcomp.config import check_arguments
from imcomp.errors import InputError
from imcomp.optimizers import OPTIMIZERS
from imcomp.perf import Perf, can_fuse, fastest_precision, find_device, set_arithmetic
from imcomp.processes import Environment


def fit_to_machine(cfg: DictConfig, environment: Environment | None = None) -> DictConfig:
    """Settle what the config leaves to the machine, and set how this process computes float32.

    Args:
        cfg: a composed ``conf/train.yaml``; it is left as it is.
        environment: this process's place among several.

    Returns:
        A copy in which ``trainer.precision`` is not `auto`, ``model.fused`` is true only where that is possible, and
        ``trainer.devices`` and ``num_nodes`` are as many as were started where imcomp does not start them itself.

    Raises:
        InputError: a key of the group ``perf`` that is unknown or of the wrong type, a precision whose weights are not
            float32, no batch that makes a step, gradients of a length that there is not, or a trainer for one process
            where several were started.
    """
    cfg = cfg.copy()
    values = OmegaConf.to_container(cfg.perf)
    assert isinstance(values, dict)
    check_arguments(Perf, {str(key): value for key, value in values.items()}, "perf")
    set_arithmetic(tf32=cfg.perf.tf32, flush_denormal=cfg.perf.flush_denormal)
    device = find_device(cfg.trainer.accelerator)
    if cfg.trainer.devices == 1 and device.type == "cuda" and (trial := _trial()) is not None:
        cfg.trainer.devices = [trial % torch.cuda.device_count()]  # trials side by side each have a device
    if cfg.trainer.precision == "auto":
        cfg.trainer.precision = fastest_precision(device)
    precision, batches = str(cfg.trainer.precision), cfg.trainer.get("accumulate_grad_batches")
    longest = cfg.trainer.get("gradient_clip_val")
    if precision.startswith(("64", "transformer")) or (precision.endswith("-true") and precision != "32-true"):
        raise InputError(
            f"perf.precision={precision} trains no network here, whose weights are float32; give auto, 32-true,"
            " bf16-mixed or 16-mixed"
        )
    if isinstance(batches, int) and batches < 1:
        raise InputError(f"trainer.accumulate_grad_batches={batches} batches never make a step; give at least 1")
    # which Lightning takes for no clipping, without a word
    if isinstance(longest, (int, float)) and not 0 <= longest < float("inf"):
        raise InputError(f"trainer.gradient_clip_val={longest} is no length; give a number above 0, or null for none")
    if environment is not None and not environment.alone:
        place = environment.place
        if cfg.trainer.get("strategy", "auto") == "auto":
            raise InputError(
                f"{place.count} processes were started and this trainer is for one; give trainer=ddp, ddp_cpu or fsdp"
            )
        given = {"devices": place.local_count, "num_nodes": place.count // place.local_count}
        for key, number in given.items():
            OmegaConf.update(cfg, f"trainer.{key}", number, force_add=True)
    elif cfg.trainer.get("num_nodes", 1) > 1:
        raise InputError(
            f"trainer.num_nodes={cfg.trainer.num_nodes} machines, and this is the only process; start it on each of"
            " them with torchrun, which then says how many there are"
        )
    # with float16 a fused optimiser unscales the gradients itself, too late to clip them
    clipped = cfg.trainer.gradient_clip_val and cfg.trainer.precision == "16-mixed"
    if cfg.model.fused and (clipped or not can_fuse(device)):
        cfg.model.fused = False
    return cfg


def _trial() -> int | None:
    """The number of a sweep's trial; None outside of a sweep."""
    hydra = HydraConfig.get() if HydraConfig.initialized() else None
    return int(hydra.job.num) if hydra is not None and hydra.mode == RunMode.MULTIRUN else None


def describe_arithmetic(cfg: DictConfig) -> str:
    """Word what was chosen, such as `bf16-mixed, channels last, fused Adam`."""
    optimizer = OPTIMIZERS[cfg.model.optimizer].__name__
    chosen = [
        str(cfg.trainer.precision),
        "channels last" if cfg.model.channels_last else "",
        f"fused {optimizer}" if cfg.model.fused and optimizer != "Muon" else optimizer,
        "compiled" if cfg.perf.compile else "",
    ]
    return ", ".join(filter(None, chosen))
