"""The networks to choose among."""

import re
from collections.abc import Sequence
from pathlib import Path

from imcomp import Completer
from imcomp.errors import InputError


class Networks:
    """Networks by the name that a person chooses them by; no other file can be named.

    Args:
        checkpoints: what ``Completer`` takes.
        device: see ``Completer``; files of ONNX run on the CPU.

    Raises:
        InputError: no checkpoint, or one that cannot be loaded.
    """

    def __init__(self, checkpoints: Sequence[str], device: str = "auto") -> None:
        if not checkpoints:
            raise InputError("no network to complete with; give ckpts=[PATH, ...]")
        self._completers = {
            name: Completer(checkpoint, "cpu" if checkpoint.endswith(".onnx") else device)
            for name, checkpoint in zip(name_checkpoints(checkpoints), checkpoints, strict=True)
        }

    @property
    def names(self) -> list[str]:
        """In the order given."""
        return [*self._completers]

    def get(self, name: str | None) -> Completer:
        """The network of this name; the first without one.

        Raises:
            InputError: no such name.
        """
        name = name or self.names[0]
        if name not in self._completers:
            raise InputError(f"there is no network {name!r} here; choose from {', '.join(self.names)}")
        return self._completers[name]


def name_checkpoints(checkpoints: Sequence[str]) -> list[str]:
    """Name each by its file's name without the suffix; in a run's folder, with the run's name before it.

    ``outputs/train/TIME/checkpoints/best.ckpt`` is `TIME best`. What is still twice the same is numbered.
    """
    names: list[str] = []
    for checkpoint in checkpoints:
        path = Path(checkpoint)
        name = re.sub(r"\.(ckpt|onnx|safetensors)$", "", path.name)
        if path.parent.name == "checkpoints":
            name = f"{path.parent.parent.name} {name}".strip()
        free, number = name, 2
        while free in names:
            free, number = f"{name} ({number})", number + 1
        names.append(free)
    return names
