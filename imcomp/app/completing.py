"""What the page and the HTTP API do: read, complete, write. Mistakes are told in one line."""

import re
import tempfile
from pathlib import Path

from PIL import Image

from imcomp.app.networks import Networks
from imcomp.app.pictures import join_holes, open_picture, to_canvas
from imcomp.app.settings import Settings
from imcomp.errors import InputError


class Desk:
    """Completes pictures of people who are not known.

    Args:
        networks: to choose among.
        settings: what is taken.
        folder: where results are written.
    """

    def __init__(self, networks: Networks, settings: Settings, folder: Path) -> None:
        self.networks = networks
        self.settings = settings
        self.folder = folder

    def show(self, picture: str | Path) -> Image.Image:
        """Prepare an uploaded picture to be painted on.

        Raises:
            InputError: too large, or no picture.
        """
        return to_canvas(self._open(picture))

    def complete(
        self,
        picture: str | Path | None,
        mask: str | Path | None,
        network: str | None = None,
        painted: Image.Image | None = None,
    ) -> tuple[Path, Image.Image, Image.Image]:
        """Fill the hole of an uploaded picture.

        Args:
            picture: its file.
            mask: a file of the picture's size, white where the hole is.
            network: a name of `networks`; None for the first.
            painted: where the brush was, see `join_holes`.

        Returns:
            The completed picture as a PNG file of its full size, and, small, the picture before and after.

        Raises:
            InputError: no picture, no hole, a mask of another size, files that are too large or no pictures.
        """
        if picture is None:
            raise InputError("there is no picture; upload one, paste one, or take an example")
        completer = self.networks.get(network)
        before = self._open(picture)
        hole = join_holes(before.size, painted, None if mask is None else self._open(mask))
        after = completer.complete(before, hole)
        path = Path(tempfile.mkdtemp(dir=self.folder)) / f"{_plain_name(picture)}-completed.png"
        after.save(path, "PNG", compress_level=1)
        return path, to_canvas(before), to_canvas(after)

    def _open(self, path: str | Path) -> Image.Image:
        return open_picture(path, max_bytes=self.settings.max_bytes, max_pixels=self.settings.max_pixels)


def _plain_name(path: str | Path) -> str:
    """The file's name without its suffix, and without what a file system might not take."""
    name = re.sub(r"[^\w.-]+", "_", Path(path).stem).strip("._")[:80]
    return name.removesuffix("-completed") or "picture"
