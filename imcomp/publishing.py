"""From a checkpoint to published weights: a small file that loads everywhere, and a model card."""

import json
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from imcomp import pretrained
from imcomp.data.masks import build_mask, mix_seeds
from imcomp.data.synthetic import SyntheticSource
from imcomp.data.transforms import to_channels, to_size, to_tensor
from imcomp.errors import InputError
from imcomp.files import write_text
from imcomp.filling import fill
from imcomp.inference import Trained, load_trained
from imcomp.model_card import check_notes, read_evaluations, write_card
from imcomp.weight_files import write_weight_file
from imcomp.weights import flush_denormals

_DATA_OPTIONS = (
    *("source", "part", "mask", "channels", "size", "fit", "resolution"),
    *("split", "val_fraction", "test_fraction", "seed"),
    *("count", "frames_per_track", "group_regex"),
)
"""What published weights say of their data: which pictures, and nothing of the machine they lay on."""

_COMPARED = 16
"""Pictures that are completed with the weights as trained and as written."""


@dataclass(frozen=True)
class Publication:
    """What was written.

    Attributes:
        weights: the ``.safetensors`` file.
        card: the model card.
        dtype: in which large tensors are kept: `float16`, or `float32` where float16 would have been seen.
        difference: largest difference of a completion from the checkpoint's, in grey levels of 255.
    """

    weights: Path
    card: Path
    dtype: str
    difference: float


def publish(
    checkpoint: str | Path,
    name: str,
    notes: Any,
    output: Path,
    *,
    evaluations: Sequence[Path] = (),
) -> Publication:
    """Write ``NAME.safetensors`` and ``NAME.md``, each whole or not at all.

    Weights are kept in float16 where completions then differ by less than one grey level anywhere in the hole, and in
    float32 else; what has one dimension, such as biases and what normalisations keep, always in float32. Numbers below
    the type's smallest normal one are written as 0.

    Args:
        checkpoint: of ``train.py``; of one with averaged weights, the average is taken.
        name: of small letters, digits and hyphens.
        notes: what the card cannot know by itself: a text for each of ``model_card.NOTES``.
        output: the folder.
        evaluations: ``metrics.json`` files of evaluations of the checkpoint.

    Raises:
        InputError: not a checkpoint of imcomp's, a name or notes that do not do, holes from files of this machine, or
            no room: published weights take at most ``pretrained.LIMIT`` bytes in all.
    """
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise InputError(f"name={name} does not do; give small letters, digits and hyphens, such as gtsrb-fast")
    trained = load_trained(checkpoint)
    plain_notes = check_notes(notes)
    scored = read_evaluations(evaluations, checkpoint)
    data = {key: trained.data[key] for key in _DATA_OPTIONS if key in trained.data}
    if "root" in str(data.get("mask")):
        raise InputError(f"{checkpoint} was trained on holes from files, which cannot be published; train with others")
    weights = {name: tensor.detach() for name, tensor in trained.network.state_dict().items()}
    if not all(tensor.isfinite().all() for tensor in weights.values()):
        raise InputError(f"{checkpoint} holds weights that are not numbers: its training went wrong; give another")
    halved = {name: _halved(tensor) for name, tensor in weights.items()}
    dtype, difference = "float16", largest_difference(trained, halved)
    if not difference < 1:  # also where it is not a number
        dtype, halved = "float32", flush_denormals(weights, below=1e-30)
        difference = largest_difference(trained, halved)
    path = output / f"{name}.safetensors"
    parameters = sum(tensor.numel() for tensor in trained.network.parameters())
    facts = {
        "hyper_parameters": trained.options,
        "datamodule_hyper_parameters": data,
        "parameters": parameters,
        "purpose": plain_notes["purpose"],
    }
    _check_room(path, sum(tensor.nbytes for tensor in halved.values()))
    write_weight_file(path, halved, facts)
    publication = Publication(path, path.with_suffix(".md"), dtype, difference)
    kept = (
        f"{path.stat().st_size / 1e6:.1f} MB, {dtype}; completions differ from the"
        f" checkpoint's by at most {difference:.2f} of 255 grey levels"
    )
    write_text(publication.card, write_card(name, facts, plain_notes, kept, scored))
    return publication


def run_notes(checkpoint: Path, command: str | None) -> dict[str, str]:
    """What the run's folder tells for a card: the command, and the time where the run has ended."""
    notes = {"command": command} if command else {}
    metrics = checkpoint.parent.parent / "metrics.json"
    if command and metrics.is_file():
        seconds = json.loads(metrics.read_text(encoding="utf-8")).get("seconds", 0)
        notes["time"] = f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"
    return notes


@torch.inference_mode()
def largest_difference(trained: Trained, weights: Mapping[str, Tensor]) -> float:
    """How far completions move with other weights: the largest difference inside a hole, in grey levels of 255.

    Drawn signs with holes as in training are completed with both.

    Args:
        trained: the network as it was trained.
        weights: its ``state_dict`` in any precision.
    """
    size = trained.data["size"]
    source = SyntheticSource(count=_COMPARED)
    pictures = [to_size(to_channels(source.read(index), trained.in_channels), size) for index in range(_COMPARED)]
    image = torch.stack([to_tensor(picture) for picture in pictures]).float() / 255
    mask = build_mask(trained.data["mask"])((size, size), mix_seeds(0, torch.arange(_COMPARED)))
    other = deepcopy(trained.network)
    other.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    largest = torch.zeros(())
    for one, hole in zip(torch.split(image, 4), torch.split(mask, 4), strict=True):
        before, after = (fill(network, one, hole).clamp(0, 1) for network in (trained.network, other))
        largest = torch.maximum(largest, ((before - after).abs() * hole).max() * 255)
    return float(largest)


def _halved(tensor: Tensor) -> Tensor:
    kept = tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor
    flushed: Tensor = flush_denormals(kept)
    return flushed


def _check_room(path: Path, size: int) -> None:
    if path.parent.resolve() != pretrained.FOLDER:
        return
    others = sum(file.stat().st_size for file in path.parent.glob("*.safetensors") if file.name != path.name)
    if others + size > pretrained.LIMIT:
        raise InputError(
            f"{path.name} of {size / 1e6:.1f} MB does not fit beside the {others / 1e6:.1f} MB of the other published"
            f" weights, {pretrained.LIMIT / 1e6:.0f} MB in all; publish a narrower network"
        )
