"""LPIPS and FID of completed pictures, torchmetrics' with a backbone from a file: nothing is downloaded."""

import re
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance

from imcomp.errors import InputError
from imcomp.metrics import MaskedMean, complete

LPIPS_NETS = {"alex": "alexnet", "squeeze": "squeezenet1_1", "vgg": "vgg16"}
"""Torchvision's backbones of LPIPS."""

SMALLEST = 32
"""Pixels of a picture's side that a backbone of LPIPS needs."""


class LPIPS(MaskedMean):
    """Mean over pictures of the distance between the features of completed picture and truth, whole.

    R. Zhang et al.: The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, CVPR 2018. Its linear
    layers come with torchmetrics. A grey picture is shown as three equal channels.

    Args:
        net: a key of ``LPIPS_NETS``.
        weights: a file of that backbone's weights, as torchvision has them.

    Raises:
        InputError: an unknown backbone, or no such file or weights of another network.
    """

    higher_is_better = False

    def __init__(self, net: str, weights: str | Path) -> None:
        super().__init__()
        if net not in LPIPS_NETS:
            raise InputError(f"lpips.net={net} is unknown; choose from {', '.join(LPIPS_NETS)}")
        # torchmetrics' metric itself would download the backbone
        from torchmetrics.functional.image.lpips import _NoTrainLpips

        state = _read_state(weights, "lpips", f"torchvision's {LPIPS_NETS[net]}")
        self.net = _NoTrainLpips(net=net, pnet_rand=True)  # type: ignore[arg-type]
        # torchmetrics cuts torchvision's `features` into `slice1.`, ... or `slices.0.`, ...
        own = {key: re.sub(r"^slices?\.?\d+\.", "features.", key) for key in self.net.net.state_dict()}
        try:
            self.net.net.load_state_dict({key: state[name] for key, name in own.items()})
        except (KeyError, RuntimeError) as error:
            raise _another_network("lpips", weights, f"torchvision's {LPIPS_NETS[net]}", error) from error

    @torch.no_grad()
    def score(self, output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Its distance.

        Raises:
            InputError: pictures that are too small.
        """
        if min(target.shape[-2:]) < SMALLEST:
            raise InputError(f"lpips needs pictures of at least {SMALLEST} pixels; leave lpips.weights out")
        pair = (_three(complete(output, target, mask)), _three(target))
        distances: Tensor = self.net(*pair, normalize=True)
        return distances.flatten()


def build_fid(weights: str | Path) -> FrechetInceptionDistance:
    """Distance between the distributions of whole pictures, completed and true.

    M. Heusel et al.: GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium, NeurIPS 2017,
    with the features before the last layer of torchvision's Inception v3: no figure of the original TensorFlow network
    can be compared with it. ``update(pictures, real=...)`` takes ``(B, C, H, W)`` in [0, 1].

    Args:
        weights: a file of torchvision's ``inception_v3``.

    Raises:
        InputError: no such file, or weights of another network.
    """
    return FrechetInceptionDistance(_Inception(weights), compute_with_cache=False)


class _Inception(nn.Module):
    """Pictures in [0, 1] to the 2048 features that Inception v3 tells objects by."""

    num_features = 2048

    def __init__(self, weights: str | Path) -> None:
        super().__init__()
        from torchvision.models import inception_v3  # imports all of torchvision's networks

        state = _read_state(weights, "fid", "torchvision's inception_v3")
        network = inception_v3(weights=None, init_weights=False, transform_input=False)
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            raise _another_network("fid", weights, "torchvision's inception_v3", error) from error
        network.fc = nn.Identity()
        self.network = network.eval().requires_grad_(requires_grad=False)

    def train(self, mode: bool = True) -> "_Inception":  # noqa: FBT001, FBT002  # torch's signature
        """Stay in evaluation mode."""
        return super().train(False)

    def forward(self, pictures: Tensor) -> Tensor:
        shown = F.interpolate(_three(pictures).float(), (299, 299), mode="bilinear", antialias=True)
        features: Tensor = self.network(2 * shown - 1)  # as its weights were trained, in [-1, 1]
        return features


def _three(pictures: Tensor) -> Tensor:
    return pictures.float().expand(-1, 3, -1, -1)


def _read_state(path: str | Path, key: str, what: str) -> dict[str, Any]:
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{key}.weights={path}: no such file; give one of {what}, or leave it out")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # how a damaged file fails is torch's to know
        raise _another_network(key, path, what, error) from error
    if not isinstance(state, dict):
        raise InputError(f"{key}.weights={path} holds no weights; give a file of {what}")
    return state


def _another_network(key: str, path: str | Path, what: str, error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:200]
    return InputError(f"{key}.weights={path} holds no weights of {what} ({reason}); give a file of it")
