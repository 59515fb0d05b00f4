"""Weights as ``.safetensors`` files: tensors, and as JSON beside them all that rebuilds the network."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from imcomp.errors import InputError
from imcomp.files import atomic

if TYPE_CHECKING:
    from torch import Tensor

KEY = "imcomp"
"""Under this name of a file's metadata stands the JSON."""

# what the JSON holds, and of which type each is
_FACTS: Mapping[str, type] = {
    "hyper_parameters": dict,
    "datamodule_hyper_parameters": dict,
    "parameters": int,
    "purpose": str,
}
_FLOATS = ("F64", "F32", "F16", "BF16")


def read_metadata(path: Path) -> dict[str, Any]:
    """Read what a file says of its network, and not the weights; without torch.

    Returns:
        ``hyper_parameters`` of the ``InpaintingModule`` and ``datamodule_hyper_parameters`` of the data it was
        trained on, both plain values; ``parameters``, their number; ``purpose``, a line.

    Raises:
        InputError: no such file, a damaged one, or not of imcomp's.
    """
    with _reading(path), safe_open(path, framework="numpy") as file:
        return _facts(file.metadata(), path)


def read_weight_file(path: Path) -> dict[str, Any]:
    """Read a file as a checkpoint: what `read_metadata` tells, and ``state_dict`` in float32.

    The tensors are named as in a checkpoint of training, ``network.<name>``.

    Raises:
        InputError: no such file, a damaged one, or not of imcomp's.
    """
    with _reading(path), safe_open(path, framework="pt") as file:
        facts = _facts(file.metadata(), path)
        weights: dict[str, Tensor] = {}
        for name in file.keys():  # noqa: SIM118  # not a dict
            kind = file.get_slice(name).get_dtype()
            if kind not in (*_FLOATS, "I64"):
                raise InputError(f"{path} is not of imcomp: {name} is {kind}, expected a float or I64; give another")
            tensor = file.get_tensor(name)
            # a copy: what was read may be mapped from a file that somebody overwrites
            weights[f"network.{name}"] = tensor.float() if kind in _FLOATS[2:] else tensor.clone()
    return {**facts, "state_dict": weights}


def write_weight_file(path: Path, weights: Mapping[str, "Tensor"], facts: Mapping[str, Any]) -> None:
    """Write weights and facts, whole or not at all.

    Args:
        path: a ``.safetensors`` file.
        weights: the network's, without a prefix.
        facts: what `read_metadata` returns.

    Raises:
        ValueError: facts that are no plain values.
    """
    from safetensors.torch import save

    text = json.dumps({key: facts[key] for key in _FACTS}, sort_keys=True, allow_nan=False)
    with atomic(path) as beside:
        # save_file would make a file that its owner alone can read
        beside.write_bytes(save({name: tensor.contiguous() for name, tensor in weights.items()}, metadata={KEY: text}))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Word how a file fails to be read in one line."""
    if not path.is_file():
        raise InputError(f"no weights {path}; give the path of a .safetensors file")
    try:
        yield
    except InputError:
        raise
    except (SafetensorError, OSError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path} is damaged or not a .safetensors file ({reason}); give another") from error


def _facts(metadata: Mapping[str, str] | None, path: Path) -> dict[str, Any]:
    foreign = f"{path} is not of imcomp"
    text = (metadata or {}).get(KEY)
    if text is None:
        raise InputError(f"{foreign} (its metadata have no {KEY!r}); give one that scripts/publish.py wrote")
    try:
        facts = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{foreign} (its metadata are no JSON: {error}); give another") from error
    if not isinstance(facts, dict):
        raise InputError(f"{foreign} (its metadata are a {type(facts).__name__}); give another")
    for key, kind in _FACTS.items():
        if not isinstance(facts.get(key), kind):
            raise InputError(f"{foreign} (its metadata have no {key} of type {kind.__name__}); give another")
    return {key: facts[key] for key in _FACTS}


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")
