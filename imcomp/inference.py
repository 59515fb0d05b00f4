"""Completing pictures with a trained network."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from imcomp.checkpoints import read_checkpoint
from imcomp.data.masks import MaskGenerator, build_mask, mix_seeds
from imcomp.data.transforms import to_channels, to_tensor
from imcomp.errors import InputError
from imcomp.module import InpaintingModule

Hole = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Trained:
    """A network and how it was trained.

    Attributes:
        module: in evaluation mode, on the CPU.
        data: the plain options of the ``InpaintingDataModule`` it was trained with.
    """

    module: InpaintingModule
    data: dict[str, Any]


def load_trained(path: str | Path) -> Trained:
    """Rebuild a network from a checkpoint alone.

    Raises:
        InputError: not a checkpoint of imcomp's, or a damaged one.
    """
    checkpoint = read_checkpoint(path)
    data = checkpoint.get("datamodule_hyper_parameters")
    if data is None:
        raise InputError(f"{path} does not say how its network was trained; give a .ckpt that train.py wrote")
    try:
        module = InpaintingModule(**checkpoint["hyper_parameters"])
        module.load_state_dict(checkpoint["state_dict"])
    except (TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} holds a network that this version cannot rebuild: {reason}") from error
    return Trained(module.eval(), dict(data))


class Completer:
    """Fills holes in pictures of any size.

    The picture is brought to the size that the network was trained on, completed there and brought back; pixels
    outside the hole are the picture's own, bit for bit, and what is under the hole is not seen. A grey network
    completes the channels of a colour picture one by one; a colour network completes a grey picture as three equal
    channels and takes their mean.

    Args:
        checkpoint: a ``.ckpt`` file that ``train.py`` wrote.
        device: a torch device, or `auto` for the best that the machine has.

    Raises:
        InputError: not a checkpoint of imcomp's, or no such device.

    Example:
        >>> completer = Completer("outputs/latest/checkpoints/best.ckpt")  # doctest: +SKIP
        >>> completed = completer.complete(Image.open("sign.png"), Image.open("mask.png"))  # doctest: +SKIP
    """

    def __init__(self, checkpoint: str | Path, device: str = "auto") -> None:
        trained = load_trained(checkpoint)
        torch.set_flush_denormal(True)
        self.device = find_device(device)
        self.module = trained.module.to(self.device)
        try:
            self.size: int = trained.data["size"]
            self.mask_generator: MaskGenerator = build_mask(trained.data["mask"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{checkpoint} does not say which size and hole it was trained on ({error})") from error

    def cut_hole(self, image: Image.Image, seed: int = 0) -> Image.Image:
        """Make a hole like those that the network was trained on, scaled to the picture.

        Args:
            image: gives the size.
            seed: the same seed gives the same hole.

        Returns:
            A mask of mode `L` and the picture's size, 255 = hole.
        """
        mask = self.mask_generator((self.size, self.size), mix_seeds(seed).reshape(1))
        return _to_mask(mask[0, 0].numpy() > 0).resize(image.size, Image.Resampling.NEAREST)

    def complete(self, image: Image.Image, mask: Image.Image) -> Image.Image:
        """Complete one picture; see `complete_batch`."""
        return self.complete_batch([image], [mask])[0]

    @torch.inference_mode()
    def complete_batch(self, images: list[Image.Image], masks: list[Image.Image]) -> list[Image.Image]:
        """Complete pictures, all at once.

        Args:
            images: of mode `L` or `RGB` and any size.
            masks: one for each picture, of its size; 128 and above is hole.

        Returns:
            Completed pictures of the same modes and sizes.

        Raises:
            InputError: a mask of another size than its picture, or a picture of another mode.
        """
        inputs: list[Tensor] = []
        holes: list[Tensor] = []
        for image, mask in zip(images, masks, strict=True):
            _check(image, mask)
            hole = _to_hole(mask)
            planes = self._planes(image, hole)
            # a hole of a few pixels must not vanish where a large picture shrinks: any hole pixel makes a hole
            small = F.adaptive_max_pool2d(torch.from_numpy(hole)[None].float(), self.size)
            inputs.append(planes)
            holes.append(small.expand(len(planes), -1, -1, -1))
        if not inputs:
            return []
        counts = [len(planes) for planes in inputs]
        picture = torch.cat(inputs).to(self.device).float() / 255
        output = self.module(picture, torch.cat(holes).to(self.device)).float().clamp(0, 1)
        levels = (output * 255).round().byte().cpu()
        return [
            _composite(image, mask, planes)
            for image, mask, planes in zip(images, masks, levels.split(counts), strict=True)
        ]

    def _planes(self, image: Image.Image, hole: Hole) -> Tensor:
        """The picture at the network's size as a batch: ``(1, C, S, S)``, or ``(3, 1, S, S)`` for a grey network."""
        small = _resize_known(image, hole, (self.size, self.size))
        if self.module.in_channels == 1:
            return to_tensor(small)[:, None]
        return to_tensor(to_channels(small, 3))[None]


def _check(image: Image.Image, mask: Image.Image) -> None:
    if image.mode not in ("L", "RGB"):
        raise InputError(f"the picture is of mode {image.mode}; give one of mode L or RGB (image.convert('RGB'))")
    if mask.size != image.size:
        raise InputError(
            f"the mask is {mask.width}x{mask.height}, the picture {image.width}x{image.height}; give a mask of its size"
        )


def _composite(image: Image.Image, mask: Image.Image, planes: Tensor) -> Image.Image:
    """Lay the network's output ``(N, C, S, S)`` into the hole."""
    channels = planes.flatten(0, 1)
    if image.mode == "L" and len(channels) == 3:
        channels = channels.float().mean(dim=0, keepdim=True).round().byte()
    array = channels.permute(1, 2, 0).numpy()
    filled = Image.fromarray(array if image.mode == "RGB" else array[..., 0])
    return Image.composite(filled.resize(image.size, Image.Resampling.BILINEAR), image, _to_mask(_to_hole(mask)))


def _resize_known(image: Image.Image, hole: Hole, size: tuple[int, int]) -> Image.Image:
    """Resize bilinearly with known pixels alone, so that what is under the hole does not bleed out of it."""
    if image.size == size or not hole.any():
        return image.resize(size, Image.Resampling.BILINEAR)

    def shrunk(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        return np.asarray(Image.fromarray(values.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))

    weight = shrunk(~hole).clip(1e-6)
    bands = [shrunk(np.where(hole, 0, np.asarray(band))) / weight for band in image.split()]
    return Image.merge(image.mode, [Image.fromarray(band.round().clip(0, 255).astype(np.uint8)) for band in bands])


def _to_hole(mask: Image.Image) -> Hole:
    hole: Hole = np.asarray(mask.convert("L")) >= 128
    return hole


def _to_mask(hole: Hole) -> Image.Image:
    return Image.fromarray(hole.astype(np.uint8) * 255)


def find_device(name: str) -> torch.device:
    """The device of this name; `auto` is the accelerator that the machine has, or else the CPU.

    Raises:
        InputError: there is no such device.
    """
    if name == "auto":
        accelerator = torch.accelerator.current_accelerator(check_available=True)
        return accelerator or torch.device("cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, ImportError) as error:
        raise InputError(f"device {name!r} is not there ({str(error).splitlines()[0]}); give auto or cpu") from error
    return device
