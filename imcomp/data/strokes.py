"""Free-form holes: the strokes of a brush, drawn for a whole batch at once on any device."""

import functools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from imcomp.data.ranges import area_range, draw_within, number_range, reference_side, scale_of, whole_range
from imcomp.data.seeds import integers, random_bits, uniform


class BrushMask:
    """Random strokes of a round brush.

    J. Yu, Z. Lin, J. Yang, X. Shen, X. Lu, T. Huang: Free-Form Image Inpainting with Gated Convolution, ICCV 2019,
    algorithm 1, as it is in use since R. Suvorov et al.: Resolution-robust Large Mask Inpainting with Fourier
    Convolutions, WACV 2022: straight pieces that turn to one side and to the other by turns, with round joints. Other
    than there, each stroke has a heading of its own (theirs all head the same way and the picture is mirrored at
    random), one width, and is thrown back by the border like a ball (theirs run along it).

    Args:
        count: strokes in a picture, a number or [low, high].
        vertices: points that a stroke goes to from its start: so many straight pieces.
        angle: degrees between a piece and its stroke's heading.
        length: of a straight piece, in pixels.
        width: of a stroke, in pixels, at least 1.5, so that none slips between two pixels.
        relative_to: ``length`` and ``width`` are pixels of a picture whose shorter side is this, so that a hole looks
            alike, and covers the same share, in pictures of all sizes; None for the picture's own pixels.
        area: bounds of the hole's share of the picture, [low, high], see `draw_within`: strokes are added to a
            hole that is too small, whatever ``count`` says. None for none.

    Raises:
        ValueError: a value that is no such range.
    """

    def __init__(
        self,
        count: int | Sequence[int] = (2, 5),
        vertices: int | Sequence[int] = (4, 10),
        angle: float | Sequence[float] = (10, 70),
        length: float | Sequence[float] = (15, 60),
        width: float | Sequence[float] = (8, 20),
        relative_to: int | None = 256,
        area: Sequence[float] | None = None,
    ) -> None:
        self.count = whole_range("count", count, 1)
        self.vertices = whole_range("vertices", vertices, 1)
        self.angle = number_range("angle", angle, 0, 180)
        self.length = number_range("length", length, 0)
        self.width = number_range("width", width, 1)
        self.relative_to = reference_side(relative_to)
        self.area = area_range(area)

    def __call__(self, image_size: tuple[int, int], seeds: Tensor) -> Tensor:
        scale = scale_of(self.relative_to, image_size)
        width = self.width[1] * scale
        if width > min(image_size):
            raise ValueError(
                f"a brush {width:g} pixels wide does not fit a picture of {image_size[0]}x{image_size[1]} pixels;"
                " make mask.width smaller" + ("" if self.relative_to else " or data.size larger")
            )
        return draw_within(lambda redrawn: self._draw(image_size, scale, redrawn), seeds, self.area, grow=True)

    def _draw(self, image_size: tuple[int, int], scale: float, seeds: Tensor) -> Tensor:
        strokes, pieces, device = self.count[1], self.vertices[1], seeds.device
        bits = random_bits(seeds, 1 + strokes * (5 + 2 * pieces))
        each = bits[:, 1:].view(len(seeds), strokes, 5 + 2 * pieces)  # each stroke's numbers
        there = torch.arange(strokes, device=device) < integers(bits[:, :1], *self.count)  # (B, strokes)
        going = torch.arange(pieces, device=device) < integers(each[..., :1], *self.vertices)  # (B, strokes, pieces)

        turn = integers(each[..., 5 : 5 + pieces], *(round(degrees * _TURN / 360) for degrees in self.angle))
        sign = 1 - 2 * (torch.arange(pieces, device=device) % 2)
        heading = each[..., 1:2] % _TURN
        length = uniform(each[..., 5 + pieces :], self.length[0] * scale, self.length[1] * scale)
        step = _directions(device)[(heading + sign * turn) % _TURN] * length[..., None]  # (B, strokes, pieces, x and y)
        sizes = torch.tensor([image_size[1], image_size[0]], device=device)
        start = each[..., 2:4] * sizes / (1 << 24)
        # in 1/64 pixels a sum has no rounding, and comes out alike in whatever order a device adds
        path = torch.cat([start[..., None, :], step], dim=-2).mul(64).round().cumsum(dim=-2) / 64
        path = sizes - (path % (2 * sizes) - sizes).abs()  # thrown back by the border

        radius = uniform(each[..., 4], self.width[0] * scale / 2, self.width[1] * scale / 2).clamp(min=_THINNEST / 2)
        owner, stroke, piece = (there[..., None] & going).nonzero(as_tuple=True)
        ends = path[owner, stroke, piece], path[owner, stroke, piece + 1]
        longest = self.length[1] * scale + max(self.width[1] * scale, _THINNEST)
        return draw_capsules(*ends, radius[owner, stroke], owner, len(seeds), image_size, longest)


def draw_capsules(
    starts: Tensor,
    ends: Tensor,
    radii: Tensor,
    owners: Tensor,
    count: int,
    image_size: tuple[int, int],
    longest: float = math.inf,
) -> Tensor:
    """Draw straight lines with round ends: all pixels whose centre is within the radius of a line.

    A capsule is convex, so that in each row of pixels it is one interval. Its left edge is the least of
    ``x(t) - sqrt(radius**2 - (row - y(t))**2)`` over the places t in [0, 1] of a disc that slides from the start to
    the end. Without the bounds the least is where the disc's normal is the line's, and as the function is convex, the
    bounds clamp it. The intervals' ends are then counted, +1 and -1, and summed along each row.

    Only sums, products, quotients and roots, each rounded by itself, so that devices agree on every pixel.

    Args:
        starts: ``(N, 2)`` float32, x and y in pixels; the first pixel's centre is at 0.5.
        ends: the same.
        radii: ``(N,)`` float32 in pixels.
        owners: ``(N,)`` int64, the mask that each is drawn on.
        count: how many masks.
        image_size: height and width in pixels.
        longest: no capsule reaches over more rows than this; the fewer, the quicker.

    Returns:
        ``(count, 1, H, W)`` float32, 1 = within a capsule.
    """
    height, width = image_size
    (x, y), (end_x, end_y) = starts.T[..., None], ends.T[..., None]  # (N, 1) each
    dx, dy = end_x - x, end_y - y
    radius = radii[:, None]
    norm = (dx * dx + dy * dy).sqrt().clamp(min=1e-6)
    # level lines are a little steep, too little to be seen, so that no quotient is 0 / 0
    steep = torch.where(dy.abs() < _LEVEL, torch.where(dy < 0, -_LEVEL, _LEVEL), dy)

    rows = min(height, math.ceil(min(longest, height)) + 2)
    first = (torch.minimum(y, end_y) - radius - 1).floor().long().clamp(0, height - rows)
    row = first + torch.arange(rows, device=starts.device)  # (N, rows)
    below = row + 0.5 - y
    lean = radius * dx * steep.sign() / norm  # how far below the disc's centre its leftmost touching point is
    edges = []
    for side in (-1, 1):
        place = ((below + side * lean) / steep).clamp(0, 1)
        reach = radius * radius - (below - place * dy).square()
        edges.append(x + place * dx + side * reach.clamp(min=0).sqrt())
        inside = reach >= 0  # alike on both sides
    left, right = (edges[0] - 0.5).ceil(), (edges[1] - 0.5).floor() + 1
    left, right = left.clamp(0, width).long(), right.clamp(0, width).long()
    inside &= left < right

    at = (owners[:, None] * height + row) * (width + 1)
    # the fewer bytes, the quicker; no pixel is covered more often than there are capsules
    kind = torch.int16 if len(starts) < 1 << 15 else torch.int32
    counts = torch.zeros(count, 1, height, width + 1, dtype=kind, device=starts.device)
    step = torch.ones((), dtype=kind, device=starts.device)
    begin, end = (at + left)[inside], (at + right)[inside]
    counts.view(-1).scatter_add_(0, begin, step.expand(len(begin)))
    counts.view(-1).scatter_add_(0, end, -step.expand(len(end)))
    return counts.cumsum_(dim=-1)[..., :width].clamp_(max=1).float().contiguous()


_TURN = 4096  # directions in a full turn
_THINNEST = 1.5  # pixels: a disc of this width covers a pixel's centre, wherever it is
_LEVEL = 1e-3  # pixels


@functools.cache
def _directions(device: torch.device) -> Tensor:
    # one table for all devices, whose own sines differ in the last bit
    angles = [2 * math.pi * step / _TURN for step in range(_TURN)]
    return torch.tensor([[math.cos(angle), math.sin(angle)] for angle in angles], device=device)
