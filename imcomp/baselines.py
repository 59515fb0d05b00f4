"""Classical ways to fill a hole, which a trained network should beat.

Each takes a picture ``(H, W)`` or ``(H, W, 3)`` uint8 and a hole ``(H, W)`` bool, True = hole, and returns a
completed picture of the same shape. What is under the hole is not seen; known pixels come back untouched.
Where nothing at all is known, the hole is filled with mid-grey, 128.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from imcomp.errors import InputError

Picture = npt.NDArray[np.uint8]
Hole = npt.NDArray[np.bool_]
Baseline = Callable[[Picture, Hole], Picture]

RADIUS = 3
"""Pixels that OpenCV's methods look around each pixel they fill."""

_UNKNOWN = 128


def rim_mean(picture: Picture, hole: Hole) -> Picture:
    """Fill the hole with one colour: the mean of the known pixels that touch it, by an edge or a corner.

    A hole of several parts gets one colour, the mean around all of them.

    Raises:
        ValueError: a picture or a hole of another kind than the module's docstring says.
    """
    blank = _blank(picture, hole)
    rim = _grow(hole) & ~hole
    if rim.any():
        blank[hole] = np.rint(picture[rim].mean(axis=0)).astype(np.uint8)
    return blank


def telea(picture: Picture, hole: Hole) -> Picture:
    """Fill the hole from its rim inwards with weighted means of what is around each pixel.

    A. Telea: An Image Inpainting Technique Based on the Fast Marching Method,
    Journal of Graphics Tools 9 (1), 2004.

    Raises:
        InputError: OpenCV is not installed.
        ValueError: a picture or a hole of another kind than the module's docstring says.
    """
    return _inpaint(picture, hole, "INPAINT_TELEA")


def navier_stokes(picture: Picture, hole: Hole) -> Picture:
    """Carry lines of equal brightness on into the hole, as a fluid's flow.

    M. Bertalmio, A. L. Bertozzi, G. Sapiro: Navier-Stokes, Fluid Dynamics, and Image and Video Inpainting,
    CVPR 2001.

    Raises:
        InputError: OpenCV is not installed.
        ValueError: a picture or a hole of another kind than the module's docstring says.
    """
    return _inpaint(picture, hole, "INPAINT_NS")


def biharmonic(picture: Picture, hole: Hole) -> Picture:
    """Lay the smoothest surface into the hole that goes on from its rim.

    S. B. Damelin, N. S. Hoang: On Surface Completion and Image Inpainting by Biharmonic Functions: Numerical Aspects,
    International Journal of Mathematics and Mathematical Sciences, 2018.

    Raises:
        InputError: scikit-image is not installed.
        ValueError: a picture or a hole of another kind than the module's docstring says.
    """
    inpaint = _scikit_image()
    blank = _blank(picture, hole)
    if hole.any() and not hole.all():
        filled = inpaint(blank, hole, channel_axis=-1 if blank.ndim == 3 else None)  # in [0, 1], and beyond
        levels = np.nan_to_num(filled[hole], nan=_UNKNOWN / 255)  # where too little is known to solve for it
        blank[hole] = np.rint(255 * levels.clip(0, 1)).astype(np.uint8)
    return blank


BASELINES: dict[str, Baseline] = {
    "rim_mean": rim_mean,
    "telea": telea,
    "navier_stokes": navier_stokes,
    "biharmonic": biharmonic,
}


def fill_all(fill: Baseline, pictures: Sequence[Picture], holes: Sequence[Hole]) -> tuple[list[Picture], float]:
    """Fill pictures one after the other, and tell the seconds that it took."""
    started = time.perf_counter()
    filled = [fill(picture, hole) for picture, hole in zip(pictures, holes, strict=True)]
    return filled, time.perf_counter() - started


def unavailable() -> dict[str, str]:
    """Names of the baselines that cannot run here, and one line each that says why and what to do."""
    missing: dict[str, str] = {}
    for package, names in ((_opencv, ("telea", "navier_stokes")), (_scikit_image, ("biharmonic",))):
        try:
            package()
        except InputError as error:
            missing |= dict.fromkeys(names, str(error))
    return missing


def choose_baselines(names: Sequence[str] | None = None) -> tuple[dict[str, Baseline], dict[str, str]]:
    """Look baselines up by name.

    Args:
        names: keys of ``BASELINES``; None takes all that can run here.

    Returns:
        The baselines, and those that None left out with the reason.

    Raises:
        InputError: an unknown name, or one asked for that cannot run here.
    """
    missing = unavailable()
    if names is None:
        return {name: fill for name, fill in BASELINES.items() if name not in missing}, missing
    for name in names:
        if name not in BASELINES:
            raise InputError(f"unknown baseline {name!r}; choose from {', '.join(BASELINES)}")
        if name in missing:
            raise InputError(f"baseline {name!r} cannot run: {missing[name]}")
    return {name: BASELINES[name] for name in names}, {}


def _inpaint(picture: Picture, hole: Hole, method: str) -> Picture:
    cv2 = _opencv()
    blank = _blank(picture, hole)
    if hole.all():
        return blank  # OpenCV would return what it was given
    filled = cv2.inpaint(blank, hole.astype(np.uint8), RADIUS, getattr(cv2, method))
    blank[hole] = filled[hole]
    return blank


def _blank(picture: Picture, hole: Hole) -> Picture:
    """Check both and return a copy whose hole hides what was there."""
    if picture.dtype != np.uint8 or not (picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] == 3)):
        raise ValueError(f"the picture is {picture.dtype} {picture.shape}; give uint8 (H, W) or (H, W, 3)")
    if hole.dtype != np.bool_ or hole.shape != picture.shape[:2]:
        raise ValueError(f"the hole is {hole.dtype} {hole.shape}; give bool {picture.shape[:2]}")
    blank = np.array(picture, order="C")  # OpenCV takes no view whose channels lie apart
    blank[hole] = _UNKNOWN  # OpenCV's Telea looks under a hole at the picture's corner
    return blank


def _grow(hole: Hole) -> Hole:
    """The hole and every pixel that touches it."""
    height, width = hole.shape
    padded = np.pad(hole, 1)
    shifted = [padded[row : row + height, column : column + width] for row in range(3) for column in range(3)]
    grown: Hole = np.logical_or.reduce(shifted)
    return grown


def _scikit_image() -> Any:
    try:
        from skimage.restoration import inpaint_biharmonic  # an extra, and slow to import
    except ImportError as error:
        raise InputError(f"scikit-image cannot be imported ({error}); pip install imcomp[reference]") from error
    return inpaint_biharmonic


def _opencv() -> Any:
    try:
        import cv2  # an extra, and slow to import
    except ImportError as error:
        # the import also fails where OpenCV is there and a system library is not
        raise InputError(f"OpenCV cannot be imported ({error}); pip install imcomp[opencv]") from error
    return cv2
