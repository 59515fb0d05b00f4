"""Completing pictures with a trained network."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from imcomp import Completer
from imcomp.backends import build_backend
from imcomp.box import Box
from imcomp.completing.engine import Engine, check_batch, check_images
from imcomp.completing.holes import Hole, find_bounds, measure_thickness
from imcomp.completing.surfaces import Floats
from imcomp.completing.views import FORMING, Training, check_strategy, form_of, plan
from imcomp.data.masks import MaskGenerator, build_mask, mix_seeds
from imcomp.data.rectangles import CenterMask
from imcomp.data.transforms import to_channels, to_tensor
from imcomp.errors import InputError
from imcomp.filling import Context, check_context, fill, window_shown
from imcomp.models import build_network
from imcomp.models.outline import outline
from imcomp.perf import fastest_precision
from imcomp.weights import read_checkpoint
from imcomp.whole import check_size, composite, read_hole, resize_known, to_mask

TRAINING_OPTIONS = frozenset(
    {"init", "optimizer", "lr", "decoder_lr", "weight_decay", "scheduler", "fused", "channels_last", "loss"}
)
"""Options of the ``InpaintingModule`` that say how a network is trained, and nothing of what it computes."""

PRECISIONS = ("auto", "32", "bf16")
"""What a `Completer` computes in."""

_LARGEST_SIZE = 16_384
# on CPUs: of more at once, what a layer hands to the next no longer fits into the caches
_PIXELS_AT_ONCE = 8 * 256 * 256
# pixels that a hole's edges are rounded to, so that holes which differ a little are computed alike
_GRID = 4
# holes that are cut to find out how thick those that a network was trained on are
_MEASURED_HOLES = 16


@dataclass(frozen=True)
class Trained:
    """A network and how it was trained.

    Attributes:
        network: in evaluation mode, on the CPU, in channels-last order.
        options: of the ``InpaintingModule`` that trained it, those that are not in `TRAINING_OPTIONS`.
        data: the plain options of the ``InpaintingDataModule`` it was trained with.
    """

    network: nn.Module
    options: dict[str, Any]
    data: dict[str, Any]

    @property
    def in_channels(self) -> int:
        """Of the pictures: 1 for grey, 3 for colour."""
        return int(self.options["in_channels"])

    @property
    def context(self) -> Context:
        """How many pixels round the hole it was shown; see ``fill``."""
        context: Context = self.options.get("context")
        return context


def load_trained(path: str | Path) -> Trained:
    """Rebuild a network from a checkpoint or published weights alone, with torch alone.

    Args:
        path: of a ``.ckpt`` or ``.safetensors`` file, or the name of published weights.

    Raises:
        InputError: not of imcomp's, or a damaged one.
    """
    checkpoint = read_checkpoint(path)
    data = checkpoint.get("datamodule_hyper_parameters")
    if data is None:
        raise InputError(f"{path} does not say how its network was trained; give a .ckpt that train.py wrote")
    weights = {
        key.removeprefix("network."): value
        for key, value in checkpoint["state_dict"].items()
        if key.startswith("network.")
    }
    try:
        given = checkpoint["hyper_parameters"]
        options = {key: value for key, value in given.items() if key not in TRAINING_OPTIONS}
        options = {"network": "autoencoder", "in_channels": 1, **options}  # the module's own defaults
        check_context(options.get("context"))
        plain = {key: value for key, value in options.items() if key not in ("network", "context")}
        _check_shapes(weights, outline(options["network"], **plain))
        network = build_network(options["network"], **plain)
        network.load_state_dict(weights)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} holds a network that this version cannot rebuild: {reason}") from error
    _check_size(data, path)
    return Trained(network.eval().to(memory_format=torch.channels_last), options, dict(data))


def _check_size(data: Mapping[str, Any], path: str | Path) -> None:
    size = data.get("size", 1)
    if not isinstance(size, int) or not 1 <= size <= _LARGEST_SIZE:
        raise InputError(
            f"{path} says that its pictures' size is {size}; give one trained at 1 to {_LARGEST_SIZE} pixels"
        )


def _check_shapes(weights: Mapping[str, Tensor], shapes: Mapping[str, torch.Size]) -> None:
    """Compare before the network takes memory: what a file says of it may be anything."""
    for key, shape in shapes.items():
        if key not in weights or weights[key].shape != shape:
            found = tuple(weights[key].shape) if key in weights else "missing"
            raise ValueError(f"{key} is {found}, expected {tuple(shape)}")


class TorchCompleter(Completer):
    """Fills holes with a network in torch; see `Completer`."""

    def __init__(
        self,
        checkpoint: str | Path,
        device: str = "auto",
        *,
        precision: str | int = "32",
        backend: str = "auto",
        self_ensemble: bool = False,
    ) -> None:
        torch.set_flush_denormal(True)  # before anything is computed: torch's threads take it over when they start
        self.trained = trained = load_trained(checkpoint)
        self.device = find_device(device)
        self.dtype = _find_dtype(str(precision), self.device, backend)
        self.self_ensemble = self_ensemble
        self.in_channels = trained.in_channels
        self.network = build_backend(backend, trained.network.to(self.device))
        try:
            self.size: int = trained.data["size"]
            self.mask_generator: MaskGenerator = build_mask(trained.data["mask"])
            self.form = form_of(trained.data["mask"], self.size)
            self.stretch: bool = trained.data.get("fit", "stretch") == "stretch"
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{checkpoint} does not say which size and hole it was trained on ({error})") from error
        # in evaluation `reach` gives the numbers of the whole picture; where holes were anywhere, the network was
        # trained on the whole, whatever its context
        narrow = isinstance(trained.context, int) and isinstance(self.mask_generator, CenterMask)
        self.context: Context = trained.context if narrow else "reach"

    def cut_hole(self, image: Image.Image, seed: int = 0) -> Image.Image:
        check_images([image])
        return scaled_hole(self.mask_generator, self.size, image.size, seed)

    @cached_property
    def engine(self) -> Engine:
        """Completes pictures of any kind."""
        plain: Any = self.network
        try:
            masks = self.mask_generator((self.size, self.size), mix_seeds(torch.arange(_MEASURED_HOLES)))
            thickness = sorted(max(measure_thickness(mask.numpy() > 0), 1) for mask in masks[:, 0])
        except InputError:  # mask files that are not here
            thickness = [1, self.size // 4]
        known = (thickness[0], thickness[-1])
        training = Training(self.size, plain.multiple, self.in_channels, self.stretch, known, self.form)
        return Engine(self._paint, training)

    @torch.inference_mode()
    def _paint(self, pictures: Floats, holes: Hole) -> Floats:
        """Fill the holes ``(N, 1, h, w)`` of pictures ``(N, C, h, w)`` in [0, 1]."""
        shown = [
            (number, torch.from_numpy(picture)[None], torch.from_numpy(hole)[None].float())
            for number, (picture, hole) in enumerate(zip(pictures, holes, strict=True))
        ]
        filled = np.array(pictures)
        for box, group in self._groups(shown):
            numbers = [number for number, _, _ in group]
            planes, missing = torch.cat([one for _, one, _ in group]), torch.cat([hole for _, _, hole in group])
            output = self._output(planes, missing, box).numpy()
            for number, one in zip(numbers, output, strict=True):
                known = box.crop(filled[number])
                known[:] = np.where(box.crop(holes[number]), one, known)
        return filled

    def complete_batch(
        self, images: Sequence[Image.Image], masks: Sequence[Image.Image], *, strategy: str = "resize"
    ) -> list[Image.Image]:
        """Complete PIL images; what can be is computed at once.

        Args:
            images: of any modes and sizes.
            masks: one for each picture, of its size; 128 and above is hole.
            strategy: see `complete`; by default each picture is shown whole at the network's size.

        Returns:
            Completed pictures of the same modes and sizes.

        Raises:
            InputError: a mask of another size than its picture, none or too many, no PIL images, or no such strategy.
        """
        check_strategy(strategy)
        check_batch(images, masks)
        for image, mask in zip(images, masks, strict=True):
            check_size(image, mask)
        fitting = {id(mask): self._fits_whole(mask, strategy) for mask in {id(mask): mask for mask in masks}.values()}
        plain = [
            image.mode in ("L", "RGB") and "transparency" not in image.info and fitting[id(mask)]
            for image, mask in zip(images, masks, strict=True)
        ]
        form = self.form if strategy in FORMING else None
        quick = iter(self._complete_whole(*_chosen(images, masks, plain, True), form))
        others = iter(
            self.engine.complete_images(*_chosen(images, masks, plain, False), strategy) if not all(plain) else ()
        )
        return [next(quick if whole else others) for whole in plain]

    def _fits_whole(self, mask: Image.Image, strategy: str) -> bool:
        """Whether a picture with this hole is shown whole at the network's size: what `_complete_whole` is for."""
        small = strategy == "auto" and self.stretch and max(mask.size) <= self.size
        if strategy == "resize" or (small and not self.form):
            return True
        hole, whole = read_hole(mask), Box(0, 0, mask.height, mask.width)
        if self.form and strategy in FORMING and not self.form.contains(find_bounds(self._shrink(hole)) or self.form):
            return False
        if small:
            return True
        views = plan(hole, self.engine.training, strategy)
        return bool(views) and all(view.window == whole and view.size == (self.size, self.size) for view in views)

    @torch.inference_mode()
    def _complete_whole(
        self, images: Sequence[Image.Image], masks: Sequence[Image.Image], form: Box | None
    ) -> list[Image.Image]:
        """Complete pictures of mode `L` or `RGB`, each shown whole at the network's size, with the form for a hole."""
        completed = list(images)
        shown: list[tuple[int, Tensor, Tensor]] = []  # which picture, its planes, its hole
        holes = {id(mask): read_hole(mask) for mask in masks}  # several pictures may share one
        hidden = {key: self._hidden(hole, form) for key, hole in holes.items()}
        for number, (image, mask) in enumerate(zip(images, masks, strict=True)):
            hole = holes[id(mask)]
            if hole.any():
                if len(image.getbands()) != self.in_channels:
                    self.engine.tell(len(image.getbands()))
                shown.append((number, self._planes(image, hole), hidden[id(mask)]))
        for box, group in self._groups(shown):
            planes = torch.cat([planes for _, planes, _ in group])
            missing = torch.cat([hole.expand(len(planes), -1, -1, -1) for _, planes, hole in group])
            filled = self._fill(planes, missing, box)
            counts = [len(planes) for _, planes, _ in group]
            for (number, _, _), one in zip(group, torch.split(filled, counts), strict=True):
                completed[number] = composite(images[number], holes[id(masks[number])], one, box)
        return completed

    def _planes(self, image: Image.Image, hole: Hole) -> Tensor:
        """The picture at the network's size, uint8 ``(1, C, S, S)``, or ``(3, 1, S, S)`` for a grey network."""
        small = resize_known(image, hole, (self.size, self.size))
        if self.in_channels == 1:
            return to_tensor(small)[:, None]
        return to_tensor(to_channels(small, 3))[None]

    def _shrink(self, hole: Hole) -> Hole:
        """The hole at the network's size."""
        if hole.shape == (self.size, self.size):
            return hole
        # a hole of a few pixels must not vanish where a large picture shrinks: any hole pixel makes a hole
        shrunk: Hole = F.adaptive_max_pool2d(torch.from_numpy(hole)[None].float(), self.size)[0].numpy() > 0
        return shrunk

    def _hidden(self, hole: Hole, form: Box | None) -> Tensor:
        """What is hidden from the network, ``(1, 1, S, S)``: the hole, or all of the form that it lies in."""
        hidden = self._shrink(hole)
        if form:
            hidden = np.zeros_like(hidden)
            form.crop(hidden)[:] = True
        return torch.from_numpy(hidden)[None, None].float()

    def _groups(
        self, shown: list[tuple[int, Tensor, Tensor]]
    ) -> Iterable[tuple[Box, list[tuple[int, Tensor, Tensor]]]]:
        """Put together what is computed at once: where it costs time, only holes in the same place."""
        groups: dict[Box, list[tuple[int, Tensor, Tensor]]] = {}
        boxes = {id(hole): self._box(hole) for hole in {id(hole): hole for _, _, hole in shown}.values()}
        for one in shown:
            groups.setdefault(boxes[id(one[2])], []).append(one)
        if self.context == "reach" and self.device.type != "cpu" and len(groups) > 1:
            # an accelerator computes many large windows sooner than one small one after another
            tops, lefts, bottoms, rights = zip(*groups, strict=True)
            return [(Box(min(tops), min(lefts), max(bottoms), max(rights)), shown)]
        return groups.items()

    def _box(self, hole: Tensor) -> Box:
        rows, columns = (torch.nonzero(hole[0, 0].amax(axis))[:, 0] for axis in (1, 0))
        box = Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
        # with a context in pixels, a larger box would show more than the network was trained to see
        return box.snap(_GRID).clip((hole.shape[2], hole.shape[3])) if self.context == "reach" else box

    def _fill(self, planes: Tensor, holes: Tensor, box: Box) -> Tensor:
        """Lay the network's output into the holes, all within ``box``; uint8 ``(N, C, S, S)``."""
        levels = (self._output(planes, holes, box) * 255).round().byte()
        known = box.crop(planes)
        known.copy_(torch.where(box.crop(holes) > 0, levels, known))
        return planes

    def _output(self, planes: Tensor, holes: Tensor, box: Box) -> Tensor:
        """The network's output in ``box``, float32 in [0, 1], for planes that are uint8, or in [0, 1] themselves."""
        size = (planes.shape[-2], planes.shape[-1])
        window = window_shown(self.network, size, box, self.context)
        planes, holes, box = window.crop(planes), window.crop(holes), box.within(window)
        pixels = window.height * window.width
        at_once = max(_PIXELS_AT_ONCE // pixels, 1) if self.device.type == "cpu" else len(planes)
        outputs = []
        for some, hole in zip(torch.split(planes, at_once), torch.split(holes, at_once), strict=True):
            picture = some.to(self.device).float()
            if some.dtype == torch.uint8:
                picture = picture / 255
            with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
                output = fill(
                    *(self.network, picture, hole.to(self.device), box),
                    context=self.context,
                    self_ensemble=self.self_ensemble,
                )
            outputs.append(output.float().clamp(0, 1).cpu())
        return torch.cat(outputs)


def _chosen(
    images: Sequence[Image.Image],
    masks: Sequence[Image.Image],
    plain: list[bool],
    wanted: bool,  # noqa: FBT001
) -> tuple[list[Image.Image], list[Image.Image]]:
    chosen = [number for number, one in enumerate(plain) if one is wanted]
    return [images[number] for number in chosen], [masks[number] for number in chosen]


def scaled_hole(generator: MaskGenerator, trained: int, size: tuple[int, int], seed: int) -> Image.Image:
    """Cut a hole into a picture of ``trained`` pixels a side, and scale it to width and height ``size``."""
    mask = generator((trained, trained), mix_seeds(seed).reshape(1))
    return to_mask(mask[0, 0].numpy() > 0).resize(size, Image.Resampling.NEAREST)


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


def _find_dtype(precision: str, device: torch.device, backend: str) -> torch.dtype:
    if precision not in PRECISIONS:
        raise InputError(f"precision={precision} is unknown; choose from {', '.join(PRECISIONS)}")
    if precision == "auto" and backend != "onnx":
        precision = "bf16" if fastest_precision(device) == "bf16-mixed" else "32"
    return torch.bfloat16 if precision == "bf16" else torch.float32
