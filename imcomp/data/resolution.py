"""A source whose pictures are first brought to a few pixels, as data sets are often given away."""

from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from imcomp.data.pictures import BadPicture
from imcomp.data.sources import Source, left_out
from imcomp.data.splits import Part
from imcomp.data.transforms import Fit, to_size


class LowResolution:
    """Another source's pictures, brought to squares of so many pixels, and everything else of it as it is.

    Args:
        source: the pictures.
        resolution: pixels of each side.
        fit: how they come to a square, see ``to_size``.
    """

    def __init__(self, source: Source, resolution: int, fit: Fit) -> None:
        self.source = source
        self.resolution = resolution
        self.fit: Fit = fit

    def __len__(self) -> int:
        return len(self.source)

    def read(self, index: int) -> Image.Image:
        """Decode a picture and shrink it, or enlarge it where it is smaller."""
        return to_size(self.source.read(index), self.resolution, self.fit)

    def name(self, index: int) -> str:
        """As the source does."""
        return self.source.name(index)

    def group(self, index: int) -> str:
        """As the source does."""
        return self.source.group(index)

    # what a source may go without is a property, so that this one goes without it too

    @property
    def fingerprint(self) -> Callable[[], str]:
        """The source's, and how its pictures are changed."""
        own = self.source.fingerprint
        return lambda: f"{own()} at {self.resolution}, {self.fit}"

    @property
    def bad(self) -> Sequence[BadPicture]:
        """As the source does."""
        return left_out(self.source)

    @property
    def root(self) -> Path:
        """As the source does."""
        return self.source.root  # type: ignore[attr-defined,no-any-return]

    @property
    def part(self) -> Callable[[int], Part | None]:
        """As the source does."""
        return self.source.part  # type: ignore[attr-defined,no-any-return]

    @property
    def rate(self) -> Callable[[int], float]:
        """As the source does."""
        return self.source.rate  # type: ignore[attr-defined,no-any-return]
