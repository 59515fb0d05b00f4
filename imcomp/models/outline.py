"""What a network would hold, without the memory for it."""

from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from imcomp.models import build_network


def outline(name: str, **options: Any) -> dict[str, torch.Size]:
    """The shapes of a network's weights by name, in order, as its ``state_dict`` would hold them.

    Options that come with a file may be anyone's: building what they ask for could take more memory than there is.

    Args:
        name: a key of ``NETWORKS``.
        options: of ``build_network``.

    Raises:
        ValueError: as ``build_network``, or a number that no network has.
    """
    _check_numbers(options)
    with torch.device("meta"), _NoInitialisation():
        network = build_network(name, **options)
    return {key: tensor.shape for key, tensor in network.state_dict().items()}


_LARGEST = 65_536  # of widths and counts of layers: more would build for minutes even without memory


def _check_numbers(value: Any, key: str = "options") -> None:
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise ValueError(f"{key} {value} is out of range; give at most {_LARGEST}")
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    for inner, item in items:
        _check_numbers(item, f"{key}.{inner}" if key != "options" else str(inner))


class _NoInitialisation(TorchFunctionMode):
    """Leave weights as they are: there is nothing to fill, and torch imports its compiler to find that out."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", None) == "torch.nn.init":
            return (kwargs or {}).get("tensor", args[0] if args else None)
        return func(*args, **(kwargs or {}))
