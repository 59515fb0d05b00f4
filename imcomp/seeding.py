"""The seed of a run that was given none: drawn, or read from what the run has saved."""

import logging
import secrets
from pathlib import Path

from imcomp.errors import InputError
from imcomp.weights import read_checkpoint

log = logging.getLogger(__name__)


def draw_seed() -> int:
    """Draw a seed, and say which."""
    seed = secrets.randbelow(1 << 32)
    log.info("seed=%d was drawn; the run can be repeated with it", seed)
    return seed


def read_seed(checkpoint: str | Path) -> int:
    """The seed that a run was trained with.

    Raises:
        InputError: not a checkpoint, or one that does not tell.
    """
    options = read_checkpoint(checkpoint).get("datamodule_hyper_parameters", {})
    if "seed" not in options:
        raise InputError(f"{checkpoint} does not tell its seed; give seed=NUMBER")
    return int(options["seed"])
