"""Completing pictures with an exported network: ONNX Runtime, NumPy and Pillow, no torch."""

from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from imcomp import Completer
from imcomp.box import Box
from imcomp.completing.engine import Engine, check_images
from imcomp.completing.holes import Hole, find_bounds
from imcomp.completing.surfaces import Floats
from imcomp.completing.views import Training, form_of
from imcomp.errors import InputError
from imcomp.export.metadata import read_metadata
from imcomp.export.session import open_graph, reason_of

_PICTURES_AT_ONCE = 8


class OnnxCompleter(Completer):
    """Fills holes with a network that ``imcomp export`` wrote, on the CPU and in float32.

    Args:
        checkpoint: an ``.onnx`` file.
        device: `auto` or `cpu`.
        precision: `auto` or `32`.
        backend: `auto` or `onnx`.
        self_ensemble: see `Completer`.

    Raises:
        InputError: ONNX Runtime is missing; a file that is damaged, of another task, or of a version that is not known
            here; or another device, precision or backend.
    """

    def __init__(
        self,
        checkpoint: str | Path,
        device: str = "auto",
        *,
        precision: str | int = "32",
        backend: str = "auto",
        self_ensemble: bool = False,
    ) -> None:
        self.path = Path(checkpoint)
        self.self_ensemble = self_ensemble
        for key, value, own in (
            ("device", device, "cpu"),
            ("precision", str(precision), "32"),
            ("backend", backend, "onnx"),
        ):
            if value not in ("auto", own):
                raise InputError(f"{key}={value} is not for {self.path}, which is of ONNX; give auto or {own}")
        self.session = open_graph(self.path)
        self.metadata = about = read_metadata(self.session.get_modelmeta().custom_metadata_map, self.path)
        inputs = {one.name: len(one.shape) for one in self.session.get_inputs()}
        if inputs != {"image": 4, "mask": 4} or [one.name for one in self.session.get_outputs()] != ["completed"]:
            raise InputError(f"{self.path} does not take image and mask; give one that `imcomp export` wrote")
        self.in_channels = about.channels
        self.size = about.size

    @cached_property
    def engine(self) -> Engine:
        about = self.metadata
        try:
            form = form_of(about.trained["data"]["mask"], about.size)
        except (AttributeError, KeyError, TypeError, ValueError):
            form = None
        training = Training(about.size, about.multiple, about.channels, about.stretch, about.thickness, form)
        return Engine(self._paint, training)

    def cut_hole(self, image: Image.Image, seed: int = 0) -> Image.Image:
        check_images([image])
        from imcomp.data.masks import build_mask  # which takes torch
        from imcomp.inference import scaled_hole

        try:
            generator = build_mask(self.metadata.trained["data"]["mask"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{self.path} does not say which hole it was trained on ({error}); give a mask") from error
        return scaled_hole(generator, self.size, image.size, seed)

    def _paint(self, pictures: Floats, holes: Hole) -> Floats:
        """Fill the holes ``(N, 1, h, w)`` of pictures ``(N, C, h, w)`` in [0, 1]."""
        filled = np.array(pictures)
        windows: dict[Box, list[int]] = {}
        for number, hole in enumerate(holes[:, 0]):
            if (window := self._window(hole)) is not None:
                windows.setdefault(window, []).append(number)
        for window, numbers in windows.items():
            for start in range(0, len(numbers), _PICTURES_AT_ONCE):
                some = numbers[start : start + _PICTURES_AT_ONCE]
                image, hole = window.crop(pictures)[some], window.crop(holes)[some]
                completed = self._run(image, hole)
                if self.self_ensemble:
                    mirrored = self._run(image[..., ::-1], hole[..., ::-1])[..., ::-1]
                    completed = np.mean([completed, mirrored], axis=0, dtype=np.float32)
                window.crop(filled)[some] = completed
        return filled

    def _window(self, hole: Hole) -> Box | None:
        """What the network has to be shown; None where there is no hole."""
        bounds, reach = find_bounds(hole), self.metadata.reach
        if bounds is None or reach is None:
            return bounds and Box(0, 0, *hole.shape)
        return bounds.grow(reach).snap(self.metadata.multiple).clip((hole.shape[0], hole.shape[1]))

    def _run(self, image: Floats, hole: Hole) -> Floats:
        try:
            completed: Floats = self.session.run(["completed"], {"image": image, "mask": hole.astype(np.float32)})[0]
        except Exception as error:  # a file that says other things of itself than it holds
            reason = reason_of(error)
            raise InputError(
                f"{self.path} cannot complete pictures of {image.shape} ({reason}); export it again"
            ) from error
        return completed
