"""Published weights, by name: this folder's ``NAME.safetensors`` files, each with its model card ``NAME.md``."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imcomp.errors import InputError
from imcomp.weight_files import read_metadata

FOLDER = Path(__file__).parent
"""A file that is put here is published; nothing else has to be changed."""

DEFAULT = "gtsrb-fast"
"""What completes pictures where no checkpoint is given."""

LIMIT = 20_000_000
"""Bytes that the files may take in all, since every installation carries them."""


@dataclass(frozen=True)
class Published:
    """What there is to know of published weights before they are loaded.

    Attributes:
        name: to be given as ``ckpt=NAME``, ``init=NAME`` or ``Completer(NAME)``.
        path: of the ``.safetensors`` file.
        bytes: of the file.
        parameters: of the network.
        channels: 1 for grey, 3 for colour.
        size: pixels of each side of the pictures that it was trained on.
        mask: options of the holes that it was trained on.
        purpose: what it is for, in a line.
    """

    name: str
    path: Path
    bytes: int
    parameters: int
    channels: int
    size: int
    mask: Mapping[str, Any]
    purpose: str

    @property
    def card(self) -> Path:
        """The model card: data, protocol, command, time, hardware, metrics, known failures."""
        return self.path.with_suffix(".md")

    @property
    def hole(self) -> str:
        """The holes in a word or two, such as `center, size 40`."""
        options = {key: value for key, value in self.mask.items() if key != "name"}
        size = f", size {options['size']}" if "size" in options else ""
        return f"{self.mask.get('name')}{size}"


def names() -> list[str]:
    """Names of all published weights, sorted."""
    return sorted(file.stem for file in FOLDER.glob("*.safetensors"))


def find(name: str | Path) -> Path | None:
    """The file of published weights of this name; None where there are none."""
    return FOLDER / f"{name}.safetensors" if str(name) in names() else None


def describe(name: str) -> Published:
    """Say what published weights are, without loading them.

    Raises:
        InputError: no weights of this name, or a damaged file.
    """
    path = find(name)
    if path is None:
        raise InputError(f"no published weights {name!r}; {choices()}")
    facts = read_metadata(path)
    options, data = facts["hyper_parameters"], facts["datamodule_hyper_parameters"]
    try:
        return Published(
            name=name,
            path=path,
            bytes=path.stat().st_size,
            parameters=facts["parameters"],
            channels=int(options["in_channels"]),
            size=int(data["size"]),
            mask=dict(data["mask"]),
            purpose=facts["purpose"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} does not say which pictures and holes it is for ({error}); publish anew") from error


def choices() -> str:
    """Word what names there are."""
    found = names()
    return f"choose from {', '.join(found)}" if found else "this version ships none"


def choose_checkpoint(given: str | None, outputs: Path) -> str:
    """Say which weights to complete pictures with.

    Args:
        given: a path or a name, which is taken as it is; `last` for the best of the last run; None for `DEFAULT`, or
            the last run's where this version does not ship it.
        outputs: the folder of runs.

    Raises:
        InputError: an empty text.
    """
    if given == "":  # a variable that is not set, say; a path takes it for the working directory
        raise InputError("ckpt= is empty; give a value, or leave it out")
    if given is None and find(DEFAULT):
        return DEFAULT
    return str(outputs / "latest" / "checkpoints" / "best.ckpt") if given in (None, "last") else given
