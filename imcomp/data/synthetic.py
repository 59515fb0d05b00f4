"""Traffic signs rendered on the fly: the data set that needs no file and no download."""

import numpy as np
from PIL import Image

from imcomp.data.signs import render_sign

_RENDERER = 1  # raise when a picture comes out differently than before


class SyntheticSource:
    """Pictures of traffic signs, rendered when they are read.

    Picture ``index`` is frame ``index % frames_per_track`` of track ``index // frames_per_track``. It depends
    on nothing but the arguments and the index, so that every process and every order of reading sees the same
    pictures. (Other versions of Pillow or NumPy may round a few pixels differently.)

    Args:
        count: Number of pictures.
        seed: Names the data set; other seeds hold other signs.
        frames_per_track: Consecutive pictures of one physical sign.

    Raises:
        ValueError: If ``count`` or ``frames_per_track`` is below 1, or ``seed`` is negative.
    """

    def __init__(self, count: int, seed: int = 0, frames_per_track: int = 30) -> None:
        if count < 1:
            raise ValueError(f"count is {count}; a synthetic source needs at least 1 picture")
        if frames_per_track < 1:
            raise ValueError(f"frames_per_track is {frames_per_track}; pass 1 (all signs differ) or more")
        if seed < 0:
            raise ValueError(f"seed is {seed}; pass 0 or a positive integer")
        self.count = count
        self.seed = seed
        self.frames_per_track = frames_per_track

    def __len__(self) -> int:
        return self.count

    def _locate(self, index: int) -> tuple[int, int]:
        if not 0 <= index < self.count:
            raise IndexError(f"picture {index} of a synthetic source that holds 0 to {self.count - 1}")
        return divmod(index, self.frames_per_track)

    def read(self, index: int) -> Image.Image:
        """Renders picture ``index``: RGB, 25 to 243 px per side."""
        track, frame = self._locate(index)
        return render_sign((self.seed, track), frame, self.frames_per_track)

    def name(self, index: int) -> str:
        """Track and frame, such as ``00003_00017``; unique in the source."""
        track, frame = self._locate(index)
        return f"{track:05d}_{frame:05d}"

    def fingerprint(self) -> str:
        """What decides how the pictures look."""
        options = f"{self.count} pictures, seed {self.seed}, {self.frames_per_track} frames a track"
        return f"synthetic {_RENDERER}, NumPy {np.__version__}: {options}"

    def group(self, index: int) -> str:
        """The track, such as ``00003``; a split must not cut through it."""
        return f"{self._locate(index)[0]:05d}"
