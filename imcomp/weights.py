"""Reading a checkpoint or weights, executing nothing of them; and numbers so small that they only cost time."""

from copy import copy
from operator import is_not
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile, is_zipfile

import torch
from torch import Tensor

from imcomp import pretrained
from imcomp.errors import InputError
from imcomp.weight_files import read_weight_file


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint or published weights: tensors and plain values, never code.

    Numbers below 1e-30 are read as 0, see `flush_denormals`.

    Args:
        path: of a ``.ckpt`` or ``.safetensors`` file, or the name of published weights.

    Returns:
        ``state_dict``, ``hyper_parameters``, ``datamodule_hyper_parameters``, and of a ``.ckpt`` all that it holds.

    Raises:
        InputError: no such file or name, or it is not of imcomp's.
    """
    path = pretrained.find(path) or Path(path)
    if not path.is_file():
        raise InputError(
            f"no checkpoint {path}; give the path of a .ckpt file, such as outputs/latest/checkpoints/best.ckpt,"
            f" or of a .safetensors file, or the name of published weights ({pretrained.choices()})"
        )
    content = read_weight_file(path) if path.suffix == ".safetensors" else _read_ckpt(path)
    # far above the smallest normal number: a product of two small ones is denormal too
    flushed: dict[str, Any] = flush_denormals(content, below=1e-30)
    return flushed


def _read_ckpt(path: Path) -> dict[str, Any]:
    """Read what ``train.py`` wrote with torch's safe loading."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise InputError(f"{path} is damaged or cannot be read ({error.strerror}); give another .ckpt file") from error
    with file:
        try:
            check_sums(path)
            checkpoint = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # how a damaged file fails, from a bad seek to a failed assert, is torch's to know
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(f"{path} is damaged or not a checkpoint ({reason}); give another .ckpt file") from error
    if not isinstance(checkpoint, dict) or not {"state_dict", "hyper_parameters"} <= checkpoint.keys():
        raise InputError(f"{path} is not a checkpoint of imcomp (no weights with hyper-parameters in it); give another")
    return checkpoint


def check_sums(path: Path) -> None:
    """Compare a checkpoint's bytes with the CRC-32 that torch stored of each tensor; `torch.load` does not.

    Raises:
        ValueError: a byte has changed, or the file is cut short.
    """
    if not is_zipfile(path):  # cut short, or in torch's format before 1.6, which knows no checksums
        with path.open("rb") as file:
            if file.read(4) == b"PK\x03\x04":
                raise ValueError("cut short")
        return
    try:
        with ZipFile(path) as archive:
            damaged = archive.testzip()
    except (BadZipFile, EOFError) as error:
        raise ValueError(str(error)) from error
    if damaged is not None:
        raise ValueError(f"the checksum of {damaged} differs")


def flush_denormals(values: Any, below: float = 0.0) -> Any:
    """Set to 0 what is closer to it than the type's smallest normal number (1.2e-38 in float32).

    A CPU computes many times slower with such denormal numbers, to which the weights of dead channels decay.

    Args:
        values: a tensor, or dicts, lists and tuples of tensors and other values.
        below: set to 0 also what is closer to it than this.

    Returns:
        The same, with new tensors in place of those that held such numbers. Nothing is changed in place.
    """
    if isinstance(values, Tensor):
        return _flushed(values, below) if values.is_floating_point() else values
    if isinstance(values, dict):
        changed = {
            key: flushed for key, value in values.items() if (flushed := flush_denormals(value, below)) is not value
        }
        if not changed:
            return values
        whole = copy(values)  # of the same type, and with the versions that a state_dict carries along
        whole.update(changed)
        return whole
    if type(values) in (list, tuple):
        items = [flush_denormals(value, below) for value in values]
        return type(values)(items) if any(map(is_not, items, values)) else values
    return values


def _flushed(tensor: Tensor, below: float) -> Tensor:
    small = tensor.abs() < max(below, torch.finfo(tensor.dtype).tiny)
    # times 0, which keeps the sign, as the CPU does when it flushes: a run that goes on computes the same bits
    return torch.where(small, tensor * 0, tensor) if small.any() else tensor
