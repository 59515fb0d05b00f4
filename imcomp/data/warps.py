"""Moving pictures about: exact flips, and affine maps sampled for a whole batch at once."""

import torch
import torch.nn.functional as F
from torch import Tensor

from imcomp.box import Box


def flip(image: Tensor, horizontal: Tensor, vertical: Tensor) -> Tensor:
    """Mirror some pictures of a batch, exactly.

    Args:
        image: ``(B, C, H, W)`` of any type.
        horizontal: ``(B,)`` bool, which ones swap left and right.
        vertical: ``(B,)`` bool, which ones swap top and bottom.
    """
    for chosen, axis in ((horizontal, -1), (vertical, -2)):
        image = torch.where(chosen.view(-1, 1, 1, 1), image.flip(axis), image)
    return image


def affine_maps(scale: Tensor, aspect: Tensor, degrees: Tensor, shift: Tensor) -> Tensor:
    """Where each pixel of the result comes from.

    A picture is scaled, turned about its middle and moved; these are the inverse maps, which sampling needs.

    Args:
        scale: ``(B,)``, above 1 enlarges.
        aspect: ``(B,)``, by how much more the width is scaled than the height; the area is left to ``scale``.
        degrees: ``(B,)``, anticlockwise as one looks at the picture.
        shift: ``(B, 2)``, to the right and down, in pixels.

    Returns:
        ``(B, 2, 3)`` float32, from x and y in pixels from the middle, and 1, to x and y in the source.
    """
    angle = degrees.deg2rad()
    cosine, sine = angle.cos(), angle.sin()
    wide, high = scale * aspect.sqrt(), scale / aspect.sqrt()
    turned_back = torch.stack([cosine / wide, -sine / wide, sine / high, cosine / high], dim=-1).view(-1, 2, 2)
    return torch.cat([turned_back, -turned_back @ shift[..., None]], dim=-1)


def warp(image: Tensor, maps: Tensor, window: Box | None = None, *, mode: str = "bilinear") -> Tensor:
    """Sample pictures through affine maps; beyond their borders they are mirrored, or, in a mask, empty.

    torchvision's ``affine`` takes one map for a whole batch; this is one ``grid_sample`` with a map for each picture.

    Args:
        image: ``(B, C, H, W)`` float32.
        maps: ``(B, 2, 3)``, see `affine_maps`.
        window: what of the result is wanted; None for all of it. Only that is computed.
        mode: `bilinear` for pictures, `nearest` for masks.

    Returns:
        ``(B, C, h, w)`` float32, of the window's height and width.
    """
    height, width = image.shape[-2:]
    top, left, bottom, right = window or Box(0, 0, height, width)
    x = torch.arange(left, right, device=image.device) + (0.5 - width / 2)
    y = torch.arange(top, bottom, device=image.device) + (0.5 - height / 2)
    grid = image.new_empty(len(image), len(y), len(x), 2)
    for axis, extent in enumerate((width, height)):
        along, across, offset = (maps[:, axis] * (2 / extent)).T[..., None]  # (B, 1) each; the picture is 2 wide
        torch.add((along * x)[:, None, :], (across * y + offset)[:, :, None], out=grid[..., axis])
    beyond = "zeros" if mode == "nearest" else "reflection"
    return F.grid_sample(image, grid, mode=mode, padding_mode=beyond, align_corners=False)
