"""The Fourier transform of pictures: torch's, or as products of matrices in a graph of ONNX.

ONNX Runtime's own transform takes many times as long as the products on a CPU, and a graph of real numbers is one that
every runtime holds.
"""

import math

import torch
from torch import Tensor


def rfft2(image: Tensor) -> tuple[Tensor, Tensor]:
    """Transform ``(..., H, W)`` float32 to the real and the imaginary part, ``(..., H, W // 2 + 1)``, orthonormally."""
    if _in_onnx():
        return rfft2_by_matrices(image)
    spectrum = torch.fft.rfft2(image, norm="ortho")
    return spectrum.real, spectrum.imag


def irfft2(real: Tensor, imaginary: Tensor, width: int) -> Tensor:
    """Transform back to ``(..., H, width)``: half a spectrum does not tell an odd width from an even one."""
    if _in_onnx():
        return irfft2_by_matrices(real, imaginary, width)
    spectrum = torch.complex(real, imaginary)
    image: Tensor = torch.fft.irfft2(spectrum, s=(real.shape[-2], width), norm="ortho")
    return image


def rfft2_by_matrices(image: Tensor) -> tuple[Tensor, Tensor]:
    """As `rfft2`."""
    height, width = image.shape[-2:]
    across, along = torch.arange(width // 2 + 1, device=image.device), torch.arange(height, device=image.device)
    cos, sin = _turns(torch.arange(width, device=image.device), across, width)
    real, imaginary = image @ cos, -(image @ sin)
    cos, sin = _turns(along, along, height)
    return cos @ real + sin @ imaginary, cos @ imaginary - sin @ real


def irfft2_by_matrices(real: Tensor, imaginary: Tensor, width: int) -> Tensor:
    """As `irfft2`."""
    height = real.shape[-2]
    along, across = torch.arange(height, device=real.device), torch.arange(width // 2 + 1, device=real.device)
    cos, sin = _turns(along, along, height)
    real, imaginary = cos @ real - sin @ imaginary, cos @ imaginary + sin @ real
    cos, sin = _turns(across, torch.arange(width, device=real.device), width)
    # all but the mean and, of an even width, the highest frequency stand for their mirror images too
    single = (across == 0) | (2 * across == width)
    weight = torch.where(single, 1.0, 2.0)[:, None]
    return real @ (weight * cos) - imaginary @ (weight * sin)


def _turns(rows: Tensor, columns: Tensor, extent: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine of 2 pi rows columns / extent, over the root of ``extent``."""
    # whole turns are left out in whole numbers: in float32 a large angle would lose its fraction
    turn = torch.full((), extent, dtype=rows.dtype, device=rows.device)  # a graph of ONNX divides by tensors alone
    angle = (rows[:, None] * columns % turn).float() * (2 * math.pi / extent)
    scale = extent**-0.5
    return angle.cos() * scale, angle.sin() * scale


def _in_onnx() -> bool:
    # the first question spares all others from loading the exporter
    return torch.compiler.is_exporting() and torch.onnx.is_in_onnx_export()
