"""The loop that imcomp is measured against: a student project's, as one writes it first.

Decoding, grey and size with scikit-image in double precision, picture by picture; two workers; the same network in
float32; Adam; every statement of a plain training loop. Nothing here is meant to be quick, and nothing to be slow.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from imcomp.errors import InputError
from imcomp.models.autoencoder import Autoencoder

Image = npt.NDArray[np.float64]


class ReferencePictures(Dataset[tuple[Tensor, Tensor]]):
    """Masked picture and picture, both ``(1, size, size)`` float32 in [0, 1].

    Args:
        paths: files in colour.
        size: pixels of each side.
        rows: of the hole, and its columns.
    """

    def __init__(self, paths: Sequence[Path], size: int, rows: slice) -> None:
        self.paths = paths
        self.size = size
        self.rows = rows

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image = read_grey(self.paths[index], self.size)
        masked = image.copy()
        masked[self.rows, self.rows] = 0
        return torch.from_numpy(masked).float()[None], torch.from_numpy(image).float()[None]


def read_grey(path: Path, size: int) -> Image:
    """Decode a picture and make it grey and square: ``(size, size)`` in [0, 1].

    Raises:
        InputError: scikit-image is not installed.
    """
    skimage = scikit_image()
    grey: Image = skimage.transform.resize(skimage.color.rgb2gray(skimage.io.imread(path)), (size, size))
    return grey


def reference_loader(pictures: ReferencePictures, batch_size: int) -> "DataLoader[tuple[Tensor, Tensor]]":
    """Shuffled batches from two worker processes."""
    return DataLoader(pictures, batch_size=batch_size, shuffle=True, num_workers=2)


class ReferenceTraining:
    """Network, optimiser and one step.

    Args:
        rows: of the hole, and its columns.
        device: where all of it happens.
    """

    def __init__(self, rows: slice, device: str) -> None:
        self.rows = rows
        self.device = device
        self.network = Autoencoder().to(device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-3, weight_decay=1e-5)

    def step(self, masked: Tensor, image: Tensor) -> float:
        """Train on a batch ``(B, 1, H, W)``; return its loss, the mean squared error on the hole alone."""
        masked, image = masked.to(self.device), image.to(self.device)
        self.optimizer.zero_grad()
        loss = self.loss(masked, image)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.item()

    def loss(self, masked: Tensor, image: Tensor) -> Tensor:
        """The loss of a batch on the device."""
        output = self.network(masked)
        return F.mse_loss(output[:, :, self.rows, self.rows], image[:, :, self.rows, self.rows])


@torch.no_grad()
def complete_one(network: nn.Module, image: Image, rows: slice, device: str) -> Image:
    """Complete one picture ``(H, W)`` in [0, 1]; the network is in evaluation mode."""
    masked = image.copy()
    masked[rows, rows] = 0
    output = network(torch.from_numpy(masked).float()[None, None].to(device))
    completed: Image = image.copy()
    completed[rows, rows] = output[0, 0, rows, rows].cpu().numpy()
    return completed


def scikit_image() -> Any:
    """The package with all that is needed of it.

    Raises:
        InputError: it is not installed.
    """
    try:
        import skimage.color
        import skimage.io
        import skimage.restoration
        import skimage.transform
    except ImportError as error:
        raise InputError(f"scikit-image cannot be imported ({error}); pip install imcomp[reference]") from error
    return skimage
