"""Errors inside the hole."""

from torch import Tensor


def hole_mse(output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    r"""Mean squared error of each picture over its own hole.

    .. math:: \text{MSE}_b = \frac{\sum m_b (o_b - t_b)^2}{C \sum m_b}

    Args:
        output: ``(B, C, H, W)``, the network's.
        target: ``(B, C, H, W)``, the truth, in [0, 1].
        mask: ``(B, 1, H, W)``, 1 = hole.

    Returns:
        ``(B,)`` float32; NaN where a picture has no hole.

    >>> import torch
    >>> target = torch.zeros(1, 1, 2, 2)
    >>> output = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    >>> hole_mse(output, target, torch.ones(1, 1, 2, 2))
    tensor([0.2500])
    """
    squares, area = _hole_squares(output, target, mask)
    return squares / area


def masked_mse(output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean over the pictures of their `hole_mse`; pictures without a hole do not count.

    Returns:
        Scalar; 0 where no picture has a hole, so that such a batch gives no gradient rather than NaN.
    """
    squares, area = _hole_squares(output, target, mask)
    # clamped, since a division 0 / 0 would send NaN backwards even where its result is not used
    return (squares / area.clamp(min=1)).sum() / (area > 0).sum().clamp(min=1)


def _hole_squares(output: Tensor, target: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    # float32 whatever the network computed in: a mean over 1,600 bfloat16 squares keeps two digits
    squares = (output.float() - target.float()).square() * mask
    return squares.sum(dim=(1, 2, 3)), mask.sum(dim=(1, 2, 3)) * output.shape[1]
