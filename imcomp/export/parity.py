"""Whether an exported network computes what the network does."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from imcomp.errors import InputError
from imcomp.export.program import Completion

TOLERANCE = 1e-4
"""Pixels in [0, 1] may differ so much: a fortieth of a grey level."""


def check_parity(module: Completion, run: Callable[[Tensor, Tensor], Tensor], *, multiple: int, size: int) -> float:
    """Compare on pictures of noise, of several sizes and numbers.

    Args:
        module: computes it in torch.
        run: computes it as exported.
        multiple: height and width must be multiples of this.
        size: of the pictures that it was trained on.

    Returns:
        The largest difference of a pixel.

    Raises:
        InputError: pixels differ by more than `TOLERANCE`, or known ones do at all.
    """
    largest = 0.0
    for image, mask in _noise(module.in_channels, multiple, size):
        with torch.inference_mode():
            expected = module(image, mask)
        completed = run(image, mask)
        shape = "x".join(map(str, image.shape))
        if completed.shape != expected.shape:
            raise InputError(
                f"exported, pictures of {shape} come out as {'x'.join(map(str, completed.shape))}; keep to the .ckpt"
            )
        if not torch.equal(*(torch.where(mask < 0.5, one, 0) for one in (completed, image))):
            raise InputError(f"exported, pictures of {shape} come out with other known pixels; keep to the .ckpt")
        difference = float((completed - expected).abs().max())
        if not difference <= TOLERANCE:  # true for NaN
            raise InputError(
                f"exported, the network computes something else: pictures of {shape} differ by {difference:.2g}, more"
                f" than {TOLERANCE:g}; keep to the .ckpt"
            )
        largest = max(largest, difference)
    return largest


def _noise(in_channels: int, multiple: int, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    trained = max(round(size / multiple), 1)
    for count, rows, columns in ((1, 1, 1), (3, 2, 3), (2, 5, 1), (1, trained, trained)):
        for channels in (1, 3) if in_channels == 1 else (3,):
            height, width = rows * multiple, columns * multiple
            # coarse, so that whole parts are missing; the middle always is
            hole = torch.rand(count, 1, rows + 1, columns + 1, generator=generator) < 0.4
            mask = torch.nn.functional.interpolate(hole.float(), (height, width))
            mask[..., height // 2, width // 2] = 1
            yield torch.rand(count, channels, height, width, generator=generator), mask
