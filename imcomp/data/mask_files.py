"""Holes from picture files of the user's own: white is the hole."""

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from imcomp.data.pictures import UnreadablePicture, escaped, find_pictures, read_picture
from imcomp.data.seeds import integers, random_bits
from imcomp.data.transforms import Fit, middle_square
from imcomp.errors import InputError


class FolderMask:
    """Mask files, brought to the picture's size with its nearest pixels; 128 and above is hole.

    Files are read when the first hole is cut, so that a network trained with them can be used without them. All of
    them are then kept in memory, a byte a pixel.

    Args:
        root: a picture file, or a folder whose picture files, those of sub-folders too, are taken in sorted order.
        mode: `random` gives each picture one of the files by its seed; `fixed` takes the only file for all pictures;
            `paired` the one of the picture's own name, see `paired`, or where no name is known, as `random`.
        invert: black is the hole.
        max_megabytes: largest memory for all masks at the picture's size.

    Raises:
        ValueError: another mode, or a limit below 1.
    """

    def __init__(
        self,
        root: str | Path,
        mode: Literal["fixed", "paired", "random"] = "random",
        invert: bool = False,  # noqa: FBT001, FBT002 - an option in a config, always given by name
        max_megabytes: int = 1024,
    ) -> None:
        if mode not in ("fixed", "paired", "random"):
            raise ValueError(f"mode {mode!r} is unknown; choose from fixed, paired, random")
        if max_megabytes < 1:
            raise ValueError(f"max_megabytes {max_megabytes} leaves no room for a mask; give at least 1")
        self.root = Path(root)
        self.mode = mode
        self.invert = invert
        self.max_megabytes = max_megabytes
        self._pools: dict[tuple[tuple[int, int], torch.device, Fit], Tensor] = {}
        self._numbers: dict[str, int] = {}

    def __call__(self, image_size: tuple[int, int], seeds: Tensor) -> Tensor:
        pool = self._pool(image_size, seeds.device)
        return pool[integers(random_bits(seeds, 1)[:, 0], 0, len(pool) - 1)].unsqueeze(1).float()

    def paired(
        self, image_size: tuple[int, int], names: Sequence[str], device: torch.device, fit: Fit = "stretch"
    ) -> Tensor:
        """The mask of each picture: the file at its path below the root, `_mask` behind the stem or not, any suffix.

        Args:
            image_size: height and width in pixels.
            names: the pictures' relative paths; `check_pairs` comes first.
            device: of the masks.
            fit: how the pictures came to their size, see ``to_size``; their masks come the same way.

        Returns:
            ``(B, 1, H, W)`` float32, 1 = hole.
        """
        numbers = torch.tensor([self._numbers[_stem(name)] for name in names], dtype=torch.int64, device=device)
        return self._pool(image_size, device, fit)[numbers].unsqueeze(1).float()

    def check_pairs(self, names: Iterable[str]) -> None:
        """Find the mask of each picture.

        Args:
            names: the pictures' relative paths.

        Raises:
            InputError: a picture has no mask, or two; or there are no masks at all.
        """
        if self.root.is_file():
            raise InputError(f"mask.mode=paired takes a folder and {self.root} is a file; give mask.mode=fixed")
        exact, marked = {}, {}
        for number, file in enumerate(self._find()):
            stem = file.relative_to(self.root).with_suffix("").as_posix()
            if stem in exact:
                raise InputError(f"{self.root} holds two masks of the name {stem!r}; keep one of them")
            exact[stem] = number
            marked[stem.removesuffix("_mask")] = number
        self._numbers = {**marked, **exact}
        if lonely := [name for name in names if _stem(name) not in self._numbers]:
            examples = ", ".join(map(escaped, lonely[:3])) + (", ..." if len(lonely) > 3 else "")
            raise InputError(
                f"{len(lonely):,} pictures have no mask of their name in {self.root} ({examples}); add them, such as"
                f" {escaped(_stem(lonely[0]))}.png, or give mask.mode=random"
            )

    def _pool(self, image_size: tuple[int, int], device: torch.device, fit: Fit = "stretch") -> Tensor:
        key = (image_size, device, fit)
        if key not in self._pools:
            # one size at a time: a run has one, and the limit is for all there is
            self._pools = {key: self._load(image_size, fit).to(device)}
        return self._pools[key]

    def _load(self, image_size: tuple[int, int], fit: Fit) -> Tensor:
        """Read all files: ``(N, H, W)`` uint8, 1 = hole."""
        files = self._find()
        height, width = image_size
        megabytes = len(files) * height * width / 1e6
        if megabytes > self.max_megabytes:
            raise InputError(
                f"{len(files):,} masks of {height}x{width} pixels take {megabytes:,.0f} MB, more than"
                f" mask.max_megabytes={self.max_megabytes}; give fewer files, a smaller data.size or raise it"
            )
        pool = torch.zeros(len(files), height, width, dtype=torch.uint8)
        bad = []
        for file, mask in zip(files, pool, strict=True):
            try:
                hole = self._read(file, image_size, fit)
            except UnreadablePicture as error:
                bad.append(f"{escaped(str(file))}: {error}")
            else:
                mask.copy_(torch.from_numpy(hole))
        if bad:
            raise InputError(_summary(bad, len(files)))
        return pool

    def _find(self) -> Sequence[Path]:
        if self.root.is_file():
            return [self.root]
        if not self.root.is_dir():
            raise InputError(f"no mask file or folder {str(self.root)!r}; give one that is there: mask.root=PATH")
        files = find_pictures(self.root)
        if not files:
            raise InputError(f"no picture file anywhere in {self.root}; give a folder of masks: mask.root=PATH")
        if self.mode == "fixed" and len(files) > 1:
            raise InputError(
                f"{self.root} holds {len(files):,} masks and mask.mode=fixed takes one; give mask.root=FILE, or"
                " mask.mode=random to use them all"
            )
        return files

    def _read(
        self, file: Path, image_size: tuple[int, int], fit: Fit
    ) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
        height, width = image_size
        image = read_picture(file).convert("L")
        box = middle_square(image) if fit == "crop" else None
        image = image.resize((width, height), Image.Resampling.NEAREST, box=box)
        hole = (np.asarray(image) >= 128) != self.invert
        if not hole.any():
            colour = "black" if self.invert else "white"
            raise UnreadablePicture(f"no {colour} pixel, so no hole, at {height}x{width} pixels")
        return hole.astype(np.uint8)  # type: ignore[no-any-return]


def _stem(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()


def _summary(bad: Sequence[str], count: int) -> str:
    examples = "; ".join(bad[:3]) + ("; ..." if len(bad) > 3 else "")
    return f"{len(bad):,} of {count:,} mask files cannot be used ({examples}); mend or remove them"
