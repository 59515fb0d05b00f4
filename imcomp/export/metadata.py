"""What an exported file says of itself, as strings by name. Needs neither torch nor ONNX."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imcomp import __version__
from imcomp.errors import InputError

TASK = "image completion"

# stated for the reader: nothing of it can be chosen
_SIGNATURE = {
    "image": "(B, C, H, W) float32 in [0, 1]",
    "mask": "(B, 1, H, W) float32, 1 = hole (at least 0.5), 0 = known",
    "completed": "(B, C, H, W) float32, [0, 1] in the hole, the image's own numbers elsewhere",
}


@dataclass(frozen=True)
class Metadata:
    """An exported network's own account.

    Attributes:
        channels: 1 for grey, which takes images of any number of channels, one by one; 3 for colour.
        multiple: height and width must be multiples of so many pixels.
        size: height and width of the pictures that it was trained on.
        stretch: whether these were brought to that size without keeping their aspect ratio.
        thickness: pixels of the thinnest and of the thickest hole that it was trained on.
        reach: pixels round the hole that it has to be shown; None for the whole picture.
        trained: the network's and the data's options, for the record.
    """

    channels: int
    multiple: int
    size: int
    stretch: bool
    thickness: tuple[int, int]
    reach: int | None
    trained: Mapping[str, Any]

    def to_strings(self) -> dict[str, str]:
        """In the order in which a viewer lists them."""
        return {
            "task": TASK,
            "imcomp": __version__,
            **_SIGNATURE,
            "channels": json.dumps(self.channels),
            "multiple": json.dumps(self.multiple),
            "size": json.dumps(self.size),
            "stretch": json.dumps(self.stretch),
            "thickness": json.dumps(self.thickness),
            "reach": json.dumps(self.reach),
            "trained": json.dumps(self.trained),
        }


def read_metadata(strings: Mapping[str, str], path: object) -> Metadata:
    """Read what `Metadata.to_strings` wrote.

    Args:
        strings: a file's.
        path: the file, for the errors.

    Raises:
        InputError: a file of another task or program, or one whose numbers make no sense.
    """
    if strings.get("task") != TASK:
        raise InputError(f"{path} is for another task, or not of imcomp's; give a file that `imcomp export` wrote")
    try:
        plain = {key: json.loads(strings[key]) for key in Metadata.__dataclass_fields__}
        thinnest, thickest = plain.pop("thickness")
        metadata = Metadata(**plain, thickness=(thinnest, thickest))
        counts = [metadata.channels, metadata.multiple, metadata.size, thinnest, thickest]
        counts += [] if metadata.reach is None else [metadata.reach + 1]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} does not say which pictures its network takes ({error!r}); export it again"
        ) from error
    if not all(type(count) is int and count > 0 for count in counts) or metadata.channels not in {1, 3}:
        raise InputError(f"{path} says nonsense of the pictures that it takes; export it again")
    return metadata
