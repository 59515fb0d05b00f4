"""Starting from saved weights: which are taken, and whether they fit."""

import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from imcomp.errors import InputError
from imcomp.models import decoder_parts_of
from imcomp.models.fast import ResidualBlock
from imcomp.module import InpaintingModule
from imcomp.weights import read_checkpoint

log = logging.getLogger(__name__)


def load_weights(module: InpaintingModule, path: str | Path, only: str | None = None) -> None:
    """Start from another run's weights.

    Blocks that the network has beyond the checkpoint's begin as the identity, so that a deeper network starts with what
    the shallower one does (as in Net2Net: Chen et al., 2016).

    Args:
        module: takes the weights of its network, and nothing else.
        path: a checkpoint.
        only: `decoder` for that part of the network alone; None for all of it.

    Raises:
        InputError: not a checkpoint, of a network of another shape or on another scale, or no such part.
    """
    checkpoint = read_checkpoint(path)
    weights = checkpoint["state_dict"]
    if only not in (None, "decoder"):
        raise InputError(f"init_only={only} is unknown; choose decoder, or null for all")
    wanted = {f"network.{key}": value for key, value in module.network.state_dict().items()}
    if only:
        try:
            parts = tuple(f"network.{name}." for name in decoder_parts_of(module.network))
        except ValueError as error:
            raise InputError(f"init_only={only}: {error}") from error
        wanted = {key: tensor for key, tensor in wanted.items() if key.startswith(parts)}
    elif surplus := sorted(key for key in weights.keys() - wanted.keys() if key.startswith("network.")):
        raise InputError(
            f"{path} holds another network: its {surplus[0]} has no place here; give model=... and model.* as it was"
            " trained"
        )
    _check_scale(module, checkpoint["hyper_parameters"], path)
    further = _further_blocks(module, wanted.keys() - weights.keys())
    wanted = {key: value for key, value in wanted.items() if not key.startswith(tuple(further))}
    _check_weights(wanted, weights, path)
    module.load_state_dict({key: weights[key] for key in wanted}, strict=False)
    for block in further.values():
        block.become_identity()
    if further:
        log.info("%s of the network's blocks are not in %s and begin as the identity", len(further), path)


def _check_scale(module: InpaintingModule, trained: Mapping[str, Any], path: str | Path) -> None:
    given = [module.network.mean, module.network.std]
    mean, std = trained.get("mean", 0.0), trained.get("std", 1.0)
    if given != [mean, std]:
        raise InputError(
            f"{path} was trained on pictures of model.mean={mean:g} and model.std={std:g}, not {given[0]:g} and"
            f" {given[1]:g}; give model.mean={mean:g} model.std={std:g}"
        )


def _further_blocks(module: InpaintingModule, missing: Collection[str]) -> dict[str, ResidualBlock]:
    """Blocks of which nothing was saved, by the beginning of their keys."""
    blocks = {f"{name}.": block for name, block in module.named_modules() if isinstance(block, ResidualBlock)}
    return {
        start: block for start, block in blocks.items() if all(start + key in missing for key in block.state_dict())
    }


def check_resumed(module: InpaintingModule, checkpoint: Mapping[str, Any], path: str | Path) -> None:
    """Check that a run's state is of this very module.

    Raises:
        InputError: of a network of another shape, or trained with another kind of loss, optimiser or schedule.
    """
    own, weights = module.state_dict(), checkpoint["state_dict"]
    second = [any(key.startswith("discriminator.") for key in keys) for keys in (own, weights)]
    if second[0] != second[1]:
        was = "without" if second[0] else "with"
        raise InputError(
            f"{path} was trained {was} loss.adversarial and cannot be resumed otherwise; give the same loss, or"
            f" init={path} to start from its weights"
        )
    _check_weights(own, weights, path)
    now, then = (_fixed_options(options) for options in (module.hparams, checkpoint["hyper_parameters"]))
    for key, value in now.items():
        if None not in (value, then[key]) and value != then[key]:
            raise InputError(
                f"{path} was trained with {key}={then[key]} and cannot be resumed with {value}; give the same, or"
                f" init={path} to start from its weights"
            )


def _fixed_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """What an optimiser's or a schedule's saved state depends on, under the names of the command line."""
    fixed = {
        "model.optimizer": options.get("optimizer", "adam"),
        "model/scheduler": (options.get("scheduler") or {"name": "constant"})["name"],
    }
    decoder_lr = options.get("decoder_lr", 1.0)
    # apart or not is all that counts: another rate for a decoder that has one is taken over
    fixed["model.decoder_lr"] = "1" if decoder_lr == 1 else "other than 1"
    adversarial = (options.get("loss") or {}).get("adversarial")
    fixed["loss.adversarial.lr"] = adversarial.get("lr") if isinstance(adversarial, Mapping) else None
    return fixed


def _check_weights(own: Mapping[str, Tensor], weights: Mapping[str, Tensor], path: str | Path) -> None:
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
