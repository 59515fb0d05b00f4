"""Networks: plain torch modules that take a masked image and return an image of the same shape.

Every network has an attribute ``multiple``: height and width must be multiples of so many pixels. It may have

- ``mean`` and ``std``: the image that it takes, and returns, has ``mean`` taken away and is divided by ``std``;
- ``takes_mask``, where it is set: the mask comes as one more channel, behind the image's;
- ``reach``: an input pixel counts for output pixels at most so many pixels away; without it, or None: for all;
- ``takes_box``, where it is set: ``forward(image, box)`` computes the output in a box alone, and no more than it takes;
- ``decoder_parts``: the names of the submodules that make its decoder, which pretraining keeps.
"""

import math
from collections.abc import Callable
from typing import Any

from torch import nn

from imcomp.models.autoencoder import Autoencoder
from imcomp.models.fast import FastNet
from imcomp.models.ffc import FourierNet
from imcomp.models.gated import GatedNet
from imcomp.models.init import INITS, initialise
from imcomp.models.unet import UNet

__all__ = ["INITS", "NETWORKS", "build_network", "decoder_parts_of", "initialise"]

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "autoencoder": Autoencoder,
    "fast": FastNet,
    "ffc": FourierNet,
    "gated": GatedNet,
    "unet": UNet,
}


def decoder_parts_of(network: nn.Module | Callable[..., nn.Module]) -> tuple[str, ...]:
    """The names of the submodules that make a network's decoder.

    Args:
        network: a network, or its class.

    Raises:
        ValueError: the network does not tell.
    """
    parts: tuple[str, ...] = getattr(network, "decoder_parts", ())
    if not parts:
        known = sorted(name for name, cls in NETWORKS.items() if getattr(cls, "decoder_parts", ()))
        kind = type(network) if isinstance(network, nn.Module) else network
        raise ValueError(
            f"{kind.__name__} has no decoder_parts, so no decoder to treat by itself; choose from {', '.join(known)}"
        )
    return parts


def build_network(
    name: str, *, in_channels: int, init: str = "default", mean: float = 0.0, std: float = 1.0, **options: Any
) -> nn.Module:
    """Build a registered network.

    Args:
        name: a key of ``NETWORKS``.
        in_channels: of the picture, 1 for grey, 3 for colour; as many come out.
        init: a key of ``INITS``.
        mean: of what it is shown, the same for all channels: a picture in [0, 1] is shown as ``(picture - mean) / std``
            with 0 in its hole, and what comes out is brought back. A hole as grey as pictures are, and numbers round 0,
            train far quicker than a black one.
        std: of what it is shown.
        options: the network's own keywords.

    Raises:
        ValueError: an unknown name, a ``std`` that nothing can be divided by, or options that the network does not take
            or refuses.
    """
    if not (math.isfinite(mean) and 0 < std < math.inf):
        raise ValueError(f"mean={mean} and std={std} are no scale of pictures in [0, 1]; give 0 and 1 to leave them")
    if name not in NETWORKS:
        raise ValueError(f"unknown network {name!r}; choose from {', '.join(sorted(NETWORKS))}")
    try:
        network = NETWORKS[name](in_channels=in_channels, **options)
    except TypeError as error:
        raise ValueError(f"network {name!r}: {error}") from error
    initialise(network, init)
    network.mean, network.std = float(mean), float(std)  # type: ignore[assignment]  # torch types attributes as tensors
    return network
