"""Gradio's components where they take in what strangers send: nothing is fetched, nothing is opened unasked."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
from gradio import component_meta
from gradio.components.base import server
from gradio.components.image_editor import AcceptBlobs, EditorData
from gradio.data_classes import ImageData
from PIL import Image, ImageChops

from imcomp.app.pictures import decode
from imcomp.errors import InputError

MOST_DRAWINGS = 64
"""Drawings that wait for their picture to be completed; beyond them the oldest are forgotten."""

_DRAWING_PIXELS = 4_200_000  # a canvas has at most 1,024 on a side, and some screens two for each
_DRAWING_BYTES = 8_000_000


@contextmanager
def _no_stubs() -> Iterator[None]:
    """Gradio writes a ``.pyi`` file beside every class that derives from a component; not into this package."""
    write = component_meta.create_or_modify_pyi
    component_meta.create_or_modify_pyi = lambda *_: None
    try:
        yield
    finally:
        component_meta.create_or_modify_pyi = write


class FilesOnly:
    """For a component: a file must have been uploaded, an address of the web is not fetched."""

    async def async_move_resource_to_block_cache(self, url_or_file_path: Any) -> str | None:
        if "://" in str(url_or_file_path):
            raise gr.Error("an address is not fetched; upload the file itself")
        moved: str | None = await super().async_move_resource_to_block_cache(url_or_file_path)  # type: ignore[misc]
        return moved


with _no_stubs():

    class Upload(FilesOnly, gr.Image):
        """A picture as it was uploaded: its path, and not a pixel of it decoded or changed."""

        def get_block_name(self) -> str:
            return "image"

        def preprocess(self, payload: ImageData | None) -> str | None:
            return None if payload is None else payload.path

    class Canvas(FilesOnly, gr.ImageEditor):
        """Where the hole is painted; hands over where the brush was, a picture of mode `L` above 0 there, or None."""

        def get_block_name(self) -> str:
            return "imageeditor"

        def preprocess(self, payload: EditorData | None) -> Image.Image | None:  # type: ignore[override]
            if payload is None:
                return None
            sent: Any = payload if payload.id is None else self.blob_storage.pop(payload.id, None)
            painted: Image.Image | None = None
            for layer in sent.layers if sent else ():
                alpha = _alpha(layer)
                if painted is None or alpha is None:
                    painted = alpha or painted
                else:
                    painted = ImageChops.lighter(painted, alpha.resize(painted.size, Image.Resampling.NEAREST))
            return painted

        @server  # type: ignore[untyped-decorator]
        def accept_blobs(self, data: AcceptBlobs) -> None:
            if any(len(content) > _DRAWING_BYTES for _, content in data.files):
                raise gr.Error("the drawing is too large; undo it")
            super().accept_blobs(data)
            while len(self.blob_storage) > MOST_DRAWINGS:
                del self.blob_storage[next(iter(self.blob_storage))]


def _alpha(layer: Any) -> Image.Image | None:
    """How much of the brush each pixel of a layer has, mode `L`."""
    if layer is None:
        return None
    try:
        if isinstance(layer, bytes):
            drawing = decode(io.BytesIO(layer), max_pixels=_DRAWING_PIXELS)
        else:
            with Path(layer.path).open("rb") as file:
                drawing = decode(file, max_pixels=_DRAWING_PIXELS)
    except (InputError, OSError) as error:
        raise gr.Error(f"the drawing cannot be read ({error}); paint it again") from error
    return drawing.convert("RGBA").getchannel("A")
