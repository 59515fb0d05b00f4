"""How a network's weights start."""

from collections.abc import Callable

from torch import Tensor, nn


def _xavier(weight: Tensor) -> None:
    nn.init.xavier_normal_(weight, gain=2.0)


def _kaiming(weight: Tensor) -> None:
    # PReLU starts as a leaky ReLU of slope 0.25
    nn.init.kaiming_normal_(weight, a=0.25)


INITS: dict[str, Callable[[Tensor], None] | None] = {"default": None, "kaiming": _kaiming, "xavier": _xavier}
"""`xavier`: normal with gain 2, the reference's. `kaiming`: normal for a leaky ReLU. `default`: torch's own."""


def initialise(network: nn.Module, name: str) -> None:
    """Set the convolutions' weights in place and, unless ``name`` is `default`, their biases to 0.

    Raises:
        ValueError: an unknown name.
    """
    if name not in INITS:
        raise ValueError(f"unknown init {name!r}; choose from {', '.join(sorted(INITS))}")
    fill = INITS[name]
    if fill is None:
        return
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            fill(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
