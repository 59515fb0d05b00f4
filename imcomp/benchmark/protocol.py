"""What every entrant of a benchmark is given: pictures of one size, with one hole in the middle."""

import random
import shutil
from dataclasses import dataclass
from pathlib import Path

from imcomp.data.pictures import find_pictures
from imcomp.data.synthetic import SyntheticSource
from imcomp.errors import InputError

FOUND, DRAWN = "GTSRB", "drawn signs (no GTSRB was there: give data_root=PATH)"

# the pictures are the same in every run
_SEED = 0


@dataclass(frozen=True)
class Protocol:
    """How the pictures are treated; the defaults of ``conf/benchmark.yaml`` are the reference project's.

    Attributes:
        folder: picture files, in colour.
        count: of them.
        size: pixels of each side after resizing.
        hole: the same of the hole.
        batch_size: pictures a step.
        device: `cpu` or `cuda`.
        config_dir: the config tree.
        work: folder for whatever is needed meanwhile.
        data_root: GTSRB's folder, as `data.root`.
        counts: of pictures, for what should not depend on it.
    """

    folder: Path
    count: int
    size: int
    hole: int
    batch_size: int
    device: str
    config_dir: Path
    work: Path
    data_root: Path
    counts: tuple[int, ...]

    @property
    def rows(self) -> slice:
        """Rows of the hole, which are its columns as well: 108 to 148 for 40 pixels in 256."""
        start = (self.size - self.hole) // 2
        return slice(start, start + self.hole)

    @property
    def paths(self) -> list[Path]:
        """The picture files."""
        return sorted(self.folder.iterdir())


def lay_out_pictures(folder: Path, count: int, data_root: Path) -> str:
    """Put picture files into a folder of their own: GTSRB's, or drawn signs where that is not there.

    Args:
        folder: made here.
        count: of pictures; where GTSRB has fewer, they come again under other names.
        data_root: `data.root` of GTSRB.

    Returns:
        Which pictures they are.

    Raises:
        InputError: ``data_root`` is there, and holds no pictures of GTSRB.
    """
    folder.mkdir(parents=True)
    gtsrb = gtsrb_folder(data_root)
    if gtsrb.is_dir():
        found = find_pictures(gtsrb)
        if not found:
            raise InputError(f"no pictures in {gtsrb}; give data_root=PATH of GTSRB, or of a folder that is not there")
        random.Random(_SEED).shuffle(found)
        for index in range(count):
            path = found[index % len(found)]
            shutil.copy(path, folder / f"{index:06d}{path.suffix}")
        return FOUND
    source = SyntheticSource(count, seed=_SEED, frames_per_track=1)
    for index in range(count):
        source.read(index).save(folder / f"{index:06d}.png")
    return DRAWN


def gtsrb_folder(data_root: Path) -> Path:
    """Where torchvision lays GTSRB's training pictures below its root."""
    return data_root / "gtsrb" / "GTSRB" / "Training"
