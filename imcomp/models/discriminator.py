"""The network that tells completed pictures from true ones, for adversarial training."""

from itertools import pairwise

from torch import Tensor, nn


class PatchDiscriminator(nn.Module):
    """Strided convolutions to one logit for each patch: a fill must look right everywhere, not on the whole.

    P. Isola et al.: Image-to-Image Translation with Conditional Adversarial Networks, CVPR 2017. No norms: the penalty
    on its slope holds it, and a batch norm would tell the true batch from the completed one by its statistics.

    Args:
        in_channels: of the picture, 1 for grey, 3 for colour.
        width: channels of the first layer; each next one has twice as many, at most eight times as many.
        layers: of 4x4 convolutions of stride 2; with 3 of them a logit sees 38 pixels.

    Shape:
        ``(B, in_channels, H, W)`` to ``(B, 1, H // 2**layers, W // 2**layers)``, and the maps before it; H and W are at
        least ``smallest``.
    """

    def __init__(self, in_channels: int = 1, width: int = 32, layers: int = 3) -> None:
        super().__init__()
        self.smallest = 2**layers
        widths = [in_channels, *(width * min(2**level, 8) for level in range(layers))]
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(above, below, 4, stride=2, padding=1), nn.LeakyReLU(0.2))
            for above, below in pairwise(widths)
        )
        self.head = nn.Conv2d(widths[-1], 1, 3, padding=1)

    def forward(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        features, maps = image, []
        for layer in self.layers:
            features = layer(features)
            maps.append(features)
        return self.head(features), maps
