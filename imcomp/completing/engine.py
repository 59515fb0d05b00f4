"""Completing pictures: what each strategy shows of them is filled by a network and laid into their holes."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from imcomp.box import Box
from imcomp.completing.arrays import ArraySurface, complete_arrays, complete_tensor, is_tensor
from imcomp.completing.forms import fill_in_form
from imcomp.completing.holes import Hole, to_hole
from imcomp.completing.resampling import lay, show
from imcomp.completing.surfaces import Canvas, Floats, ImageSurface, Surface
from imcomp.completing.tiles import fill_tiles
from imcomp.completing.views import FORMING, Training, View, plan
from imcomp.errors import InputError

log = logging.getLogger(__name__)

Network = Callable[[Floats, Hole], Floats]
"""From pictures ``(N, channels, h, w)``, 0 in the hole, and holes ``(N, 1, h, w)`` to filled pictures in [0, 1]; h and
w are multiples of the network's, N is at least 1."""

_AT_ONCE = 16  # views that wait for others of their size
_ORIENTATION = 274
_BACK = {  # from an EXIF orientation that swaps height and width to what turns an upright picture back
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


class Engine:
    """Completes pictures of any kind with a network.

    Args:
        network: fills holes in pictures that it is shown.
        training: what it was trained to see.
    """

    def __init__(self, network: Network, training: Training) -> None:
        self.network = network
        self.training = training
        self._told: set[int] = set()

    def complete(self, image: Any, mask: Any, strategy: str = "auto") -> Any:
        """Complete a PIL image, a NumPy array or a tensor; see ``Completer.complete``."""
        if isinstance(image, Image.Image):
            return self.complete_images([image], [mask], strategy)[0]
        if is_tensor(image):
            return complete_tensor(image, mask, lambda one, hole: self._array(one, hole, strategy))
        if isinstance(image, np.ndarray):
            return complete_arrays(image, mask, lambda one, hole: self._array(one, hole, strategy))
        raise InputError(f"the picture is a {type(image).__name__}; give a PIL image, a NumPy array or a tensor")

    def complete_images(self, images: Sequence[Image.Image], masks: Sequence[Any], strategy: str) -> list[Image.Image]:
        """Complete PIL images; what is shown of several at the same size is computed at once."""
        holes = [
            to_hole(as_stored(mask, image), (image.height, image.width))
            for image, mask in zip(images, masks, strict=True)
        ]
        surfaces = [ImageSurface(image, hole) for image, hole in zip(images, holes, strict=True)]
        self.fill(surfaces, holes, strategy)
        return [surface.result for surface in surfaces]

    def fill(self, surfaces: Sequence[Surface], holes: Sequence[Hole], strategy: str) -> None:
        """Fill the holes of pictures in place."""
        waiting: dict[tuple[int, ...], list[tuple[int, View, Floats, Hole]]] = {}
        paint = self._paint_in_form if self.training.form and strategy in FORMING else self._paint

        def fill_waiting(shape: tuple[int, ...]) -> None:
            some = waiting.pop(shape)
            filled = paint(np.stack([one[2] for one in some]), np.stack([one[3] for one in some]))
            for (number, view, _, _), one in zip(some, filled, strict=True):
                lay(surfaces[number], holes[number], view, one)

        for number, (surface, hole) in enumerate(zip(surfaces, holes, strict=True)):
            for view in plan(hole, self.training, strategy):
                self.tell(surface.channels)
                if max(view.size) > self.training.most_at_once:
                    self._fill_large(surface, hole, view, paint)
                    continue
                picture, shown = show(surface, hole, view)
                waiting.setdefault(picture.shape, []).append((number, view, picture, shown))
                if len(waiting[picture.shape]) == _AT_ONCE:
                    fill_waiting(picture.shape)
        for shape in list(waiting):
            fill_waiting(shape)

    def _fill_large(self, surface: Surface, hole: Hole, view: View, paint_all: Network) -> None:
        def paint(picture: Floats, missing: Hole) -> Floats:
            filled: Floats = paint_all(picture[None], missing[None])[0]
            return filled

        if (view.window.height, view.window.width) == view.size:
            fill_tiles(surface, hole, view.target, paint, self.training)
        else:
            picture, shown = show(surface, hole, view)
            fill_tiles(Canvas(picture), shown, Box(0, 0, *view.size), paint, self.training)
            lay(surface, hole, view, picture)

    def _array(self, array: npt.NDArray[Any], mask: Any, strategy: str) -> npt.NDArray[Any]:
        hole = to_hole(mask, array.shape[:2])
        surface = ArraySurface(array, hole)
        self.fill([surface], [hole], strategy)
        completed: npt.NDArray[Any] = surface.result
        return completed

    def _paint(self, pictures: Floats, holes: Hole) -> Floats:
        """Fill ``(N, C, h, w)`` of any size and number of channels."""
        count, channels, height, width = pictures.shape
        multiple = self.training.multiple
        beyond = ((0, 0), (0, 0), (0, -height % multiple), (0, -width % multiple))
        shown: Floats = np.pad(pictures, beyond, mode="symmetric")
        missing: Hole = np.pad(holes[:, None], beyond, mode="symmetric")
        if self.training.channels == 1 and channels == 3:
            shown, missing = shown.reshape(-1, 1, *shown.shape[2:]), missing.repeat(3, axis=0)
            filled = self.network(shown, missing).reshape(count, 3, *shown.shape[2:])
        elif self.training.channels == 3 and channels == 1:
            filled = self.network(shown.repeat(3, axis=1), missing).mean(axis=1, keepdims=True)
        else:
            filled = self.network(shown, missing)
        cut: Floats = filled[..., :height, :width]
        return cut

    def _paint_in_form(self, pictures: Floats, holes: Hole) -> Floats:
        """The same, for a network that knows holes of one form."""
        form = self.training.form
        if form is None or pictures.shape[2] < form.height or pictures.shape[3] < form.width:
            return self._paint(pictures, holes)
        return fill_in_form(pictures, holes, form, self.training.size, self._paint)

    def tell(self, channels: int) -> None:
        """Say once how a picture is completed by a network of other channels."""
        if channels == self.training.channels or channels in self._told:
            return
        self._told.add(channels)
        if channels == 3:
            log.warning("a grey network completes the channels of a colour picture one by one")
        else:
            log.warning("a colour network completes a grey picture as three equal channels, and their mean is taken")


def check_images(images: Sequence[Any]) -> None:
    """Refuse what is no PIL image.

    Raises:
        InputError: another kind of picture.
    """
    for image in images:
        if not isinstance(image, Image.Image):
            raise InputError(f"a {type(image).__name__} is not taken here; give PIL images")


def check_batch(images: Sequence[Any], masks: Sequence[Any]) -> None:
    """Refuse a batch that is not one mask for each picture, all of them PIL images.

    Raises:
        InputError: another number of masks, or another kind of picture or mask.
    """
    if len(images) != len(masks):
        raise InputError(f"there are {len(masks)} masks for {len(images)} pictures; give one for each")
    check_images([*images, *masks])


def as_stored(mask: Any, image: Image.Image) -> Any:
    """Turn a mask that was drawn on the picture as its EXIF orientation shows it to how its pixels are stored.

    That can be told where turning swaps height and width, and they differ; any other mask is left as it is.
    """
    if not isinstance(mask, Image.Image) or mask.size == image.size or mask.size != image.size[::-1]:
        return mask
    orientation = image.getexif().get(_ORIENTATION, 1)
    return mask.transpose(_BACK[orientation]) if orientation in _BACK else mask
