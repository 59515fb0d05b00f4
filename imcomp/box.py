"""A rectangle in a picture."""

from typing import Any, NamedTuple, TypeVar

Array = TypeVar("Array")
"""A tensor or a NumPy array; this file imports neither library."""


class Box(NamedTuple):
    """A rectangle of pixels; ``bottom`` and ``right`` are the first beyond it."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Pixels from left to right."""
        return self.right - self.left

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width

    def crop(self, image: Array) -> Array:
        """The box's pixels of ``(..., H, W)``: a view."""
        indexed: Any = image
        cropped: Array = indexed[..., self.top : self.bottom, self.left : self.right]
        return cropped

    def grow(self, margin: int) -> "Box":
        """So many pixels more on each side."""
        return Box(self.top - margin, self.left - margin, self.bottom + margin, self.right + margin)

    def scale(self, factor: int) -> "Box":
        """The same place in a picture so many times as large."""
        return Box(*(factor * edge for edge in self))

    def snap(self, multiple: int) -> "Box":
        """The smallest box around it whose edges are multiples of so many pixels."""
        top, left, bottom, right = self
        return Box(
            top // multiple * multiple, left // multiple * multiple, -(-bottom // multiple) * multiple,
            -(-right // multiple) * multiple,
        )  # fmt: skip

    def clip(self, size: tuple[int, int]) -> "Box":
        """What of it lies within a picture of height and width ``size``."""
        height, width = size
        return Box(max(self.top, 0), max(self.left, 0), min(self.bottom, height), min(self.right, width))

    def mirror(self, width: int) -> "Box":
        """The same place in a picture of that width which swapped left and right."""
        return Box(self.top, width - self.right, self.bottom, width - self.left)

    def within(self, outer: "Box") -> "Box":
        """Its place in a picture that shows ``outer``."""
        return Box(self.top - outer.top, self.left - outer.left, self.bottom - outer.top, self.right - outer.left)

    def shift(self, down: int, right: int) -> "Box":
        """So many pixels further down and to the right."""
        return Box(self.top + down, self.left + right, self.bottom + down, self.right + right)

    def union(self, other: "Box") -> "Box":
        """The smallest box around both."""
        return Box(
            min(self.top, other.top), min(self.left, other.left), max(self.bottom, other.bottom),
            max(self.right, other.right),
        )  # fmt: skip

    def contains(self, other: "Box") -> bool:
        """Whether all of the other lies in it."""
        return self.union(other) == self

    def overlaps(self, other: "Box") -> bool:
        """Whether they share a pixel."""
        return max(self.top, other.top) < min(self.bottom, other.bottom) and max(self.left, other.left) < min(
            self.right, other.right
        )


def centred_span(extent: int, length: int, centre: float) -> tuple[int, int]:
    """Where pixels of ``length`` lie in ``extent``, centred at a fraction of it; perhaps beyond its ends."""
    # an odd remainder goes below and to the right, as integer division does for the reference's 108..148;
    # 1e-6, since 0.29 * 100 is a little less than 29
    start = int(centre * extent - length / 2 + 1e-6)
    return start, start + length
