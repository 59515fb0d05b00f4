"""Distance between the features of a network that was trained to tell objects apart."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from imcomp.errors import InputError
from imcomp.losses.pixels import masked_mean, touched_cells

BACKBONES = ("resnet18", "resnet50", "vgg16", "vgg19")
"""Torchvision's networks whose features are compared."""

STAGES = 5
"""Parts of a backbone between which its maps are halved."""


class PerceptualLoss(nn.Module):
    """Mean absolute difference between the features of completed picture and truth, in the cells that the hole touches.

    The mean over a few stages of a backbone, each seen after its last ReLU; with VGG-16 and stages 1 to 4 these are the
    layers of J. Johnson et al.: Perceptual Losses for Real-Time Style Transfer and Super-Resolution, ECCV 2016. A grey
    picture is shown as three equal channels.

    Args:
        backbone: one of `BACKBONES`.
        weights: a file of its weights as torchvision has them; None takes the one in torchvision's cache. Nothing is
            downloaded.
        layers: stages to compare, 1 to `STAGES`.
        margin: known pixels round the hole that the backbone is shown where all holes lie in one box; None for all.

    Raises:
        ValueError: an unknown backbone, or stages or a margin that there are not.
        InputError: no weights.
    """

    def __init__(
        self,
        backbone: str = "vgg16",
        weights: str | Path | None = None,
        layers: Sequence[int] = (1, 2, 3, 4),
        margin: int | None = 32,
    ) -> None:
        super().__init__()
        if backbone not in BACKBONES:
            raise ValueError(f"unknown backbone {backbone!r}; choose from {', '.join(BACKBONES)}")
        if not layers or not set(layers) <= set(range(1, STAGES + 1)):
            raise ValueError(f"layers={list(layers)} are no stages; give some of 1 to {STAGES}, such as [1, 2, 3, 4]")
        if margin is not None and margin < 0:
            raise ValueError(f"margin={margin} is no distance; give a number of pixels, or null for the whole picture")
        self.layers = frozenset(layers)
        self.margin = margin
        # in a tuple, so that no checkpoint, optimiser or average takes these weights for the module's
        self._backbone = (load_stages(backbone, weights, count=max(layers)),)

    def forward(self, output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        smallest = 2 ** max(self.layers)
        if min(output.shape[-2:]) < smallest:
            raise InputError(f"loss.perceptual needs pictures of at least {smallest} pixels; give a larger data.size")
        with torch.no_grad():
            wanted = self._features(target)
        losses = []
        for features, true in zip(self._features(output), wanted, strict=True):
            cells = touched_cells(mask, features)
            losses.append(masked_mean((features.float() - true.float()).abs(), cells))
        return torch.stack(losses).mean()

    def _features(self, image: Tensor) -> list[Tensor]:
        stages = self._backbone[0].to(image.device)
        features = (image.float().expand(-1, 3, -1, -1) - _column(_MEAN, image)) / _column(_DEVIATION, image)
        chosen = []
        for number, stage in enumerate(stages, 1):
            features = stage(features)
            if number in self.layers:
                chosen.append(features)
        return chosen


def load_stages(name: str, weights: str | Path | None, count: int = STAGES) -> nn.ModuleList:
    """Build the first stages of a backbone in evaluation mode, frozen, with weights from a file or the cache.

    Args:
        name: one of `BACKBONES`.
        weights: a file; None for torchvision's cache.
        count: how many stages.

    Raises:
        InputError: no such file, or it holds no weights of this network.
    """
    from torchvision.models import get_model

    path = _find_weights(name, weights)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # how a damaged file fails is torch's to know
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path} is damaged or holds no weights ({reason}); give another file") from error
    with torch.device("meta"):  # the classifiers behind the features would take half a gigabyte
        model = get_model(name, weights=None)
    stages = _vgg_stages(model) if name.startswith("vgg") else _resnet_stages(model)
    _fill_in(model, stages[:count], state, f"{path} holds no weights of {name}")
    return stages[:count].eval().requires_grad_(False)


_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as the weights were trained


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, device=like.device).view(1, -1, 1, 1)


def _vgg_stages(model: Any) -> nn.ModuleList:
    """All up to the first max-pooling, and from each max-pooling to the next."""
    stages: list[list[nn.Module]] = [[]]
    for layer in model.features[:-1]:  # without the last max-pooling
        if isinstance(layer, nn.MaxPool2d):
            stages.append([])
        stages[-1].append(layer)
    return nn.ModuleList(nn.Sequential(*stage) for stage in stages)


def _resnet_stages(model: Any) -> nn.ModuleList:
    stem, below = nn.Sequential(model.conv1, model.bn1, model.relu), nn.Sequential(model.maxpool, model.layer1)
    return nn.ModuleList([stem, below, model.layer2, model.layer3, model.layer4])


def _fill_in(model: nn.Module, stages: nn.ModuleList, state: Any, problem: str) -> None:
    if not isinstance(state, Mapping):
        raise InputError(f"{problem}: it is a {type(state).__name__}; give torchvision's state dict")
    wanted = {id(value) for value in stages.state_dict(keep_vars=True).values()}
    found = {}
    for key, value in model.state_dict(keep_vars=True).items():
        if id(value) not in wanted:
            continue
        if key.endswith("num_batches_tracked"):  # which torchvision's files go without, and nothing here asks for
            found[key] = torch.tensor(0)
        elif key in state and state[key].shape == value.shape:
            found[key] = state[key].float()
        else:
            raise InputError(f"{problem}: {key} is missing or of another shape; give torchvision's state dict")
    model.load_state_dict(found, strict=False, assign=True)


def _find_weights(name: str, weights: str | Path | None) -> Path:
    if weights is not None:
        if not Path(weights).is_file():
            raise InputError(f"loss.perceptual.weights={weights}: no such file; give a file of {name}'s weights")
        return Path(weights)
    from torchvision.models import get_model_weights

    # those alone that were trained on pictures as they are normalised here
    urls = [member.url for member in get_model_weights(name) if not member.name.endswith("FEATURES")]
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    files: list[Path] = [folder / url.rpartition("/")[2] for url in urls]
    for file in files:
        if file.is_file():
            return file
    raise InputError(
        f"loss.perceptual needs weights of {name} and {files[0]} is not there; download {urls[0]} to it, or give"
        " loss.perceptual.weights=FILE"
    )
