"""imcomp: completes images. Part of a picture is missing; a network trained on pictures like it fills the hole."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from PIL import Image

    from imcomp.completing.engine import Engine

__all__ = ["Completer", "__version__"]

__version__ = "0.1.0"

Picture = TypeVar("Picture")


class Completer:
    """Fills holes in pictures of any kind and size.

    What the network is shown is brought to the scale that it was trained on, completed there and brought back; pixels
    outside the hole are the picture's own, bit for bit, and what is under the hole is not seen. A grey network
    completes the channels of a colour picture one by one; a colour network completes a grey picture as three equal
    channels and takes their mean. Only what the hole depends on is computed.

    Args:
        checkpoint: a ``.ckpt`` file that ``train.py`` wrote, a ``.safetensors`` file that ``scripts/publish.py`` wrote,
            the name of published weights, such as `gtsrb-fast`, or an ``.onnx`` file that ``imcomp export`` wrote. The
            last runs in ONNX Runtime, on the CPU and in float32, and torch is not imported.
        device: a torch device, or `auto` for the best that the machine has.
        precision: `32` for float32; `bf16` for bfloat16 where torch deems it safe, which moves pixels in the hole by
            a few grey levels; `auto` for the quicker of them on the device.
        backend: a key of ``BACKENDS``, or `auto`.
        self_ensemble: complete the mirrored picture too, and take the mean: less error at half the speed, for networks
            that learned from mirrored pictures.

    Raises:
        InputError: not a checkpoint of imcomp's, no such device, precision or backend, or a package that the backend
            needs is missing.

    Example:
        >>> completer = Completer("outputs/latest/checkpoints/best.ckpt")  # doctest: +SKIP
        >>> completed = completer.complete(Image.open("sign.png"), Image.open("mask.png"))  # doctest: +SKIP
    """

    in_channels: int
    """Of the pictures that the network was trained on: 1 for grey, 3 for colour."""
    size: int
    """Height and width of these."""

    # what computes is imported late: so `import imcomp` and the command line's --help do not wait for torch, and ONNX
    # does without it
    def __new__(  # noqa: PYI034 - one of its subclasses, which takes the arguments
        cls,
        checkpoint: str | Path,
        device: str = "auto",  # noqa: ARG004
        *,
        precision: str | int = "32",  # noqa: ARG004
        backend: str = "auto",  # noqa: ARG004
        self_ensemble: bool = False,  # noqa: ARG004
    ) -> "Completer":
        if cls is not Completer:
            return super().__new__(cls)
        if Path(checkpoint).suffix.lower() == ".onnx":
            from imcomp.export.completer import OnnxCompleter

            return super().__new__(OnnxCompleter)
        from imcomp.inference import TorchCompleter

        return super().__new__(TorchCompleter)

    @property
    def engine(self) -> "Engine":
        """Completes pictures of any kind."""
        raise NotImplementedError

    def complete(self, image: Picture, mask: Any, *, strategy: str = "auto") -> Picture:
        """Complete one picture of any kind, mode and size; it stays as it is.

        Args:
            image: a PIL image of any mode; a NumPy array ``(H, W)``, ``(H, W, C)`` or ``(B, H, W, C)``; or a tensor
                ``(H, W)``, ``(C, H, W)`` or ``(B, C, H, W)``. C is 1 for grey, 2 for grey and alpha, 3 for colour, 4
                for colour and alpha. Numbers are in [0, 1], [0, 255] or [0, 65535]; of any other range, their lowest is
                taken for black and their highest for white.
            mask: where it is missing, of the picture's size and of any of these kinds: white, true or 1 is the hole;
                see `imcomp.completing.holes.to_hole`.
            strategy: what the network is shown, a key of ``imcomp.completing.views.STRATEGIES``: `original`, the
                picture as it is; `resize`, the whole picture at the network's size; `crop`, a window round each part
                of the hole, at the scale at which it is as thick as those that the network was trained on; `auto`,
                `resize` for pictures no larger than the network's and where the window would be nearly all of the
                picture, else `crop`.

        Returns:
            The completed picture of the same kind, size, mode and type; a PIL image with the same metadata. Outside
            the hole it is the picture, bit for bit; in the hole it is opaque.

        Raises:
            InputError: no picture, no mask, one of another size than the other, or no such strategy.
        """
        completed: Picture = self.engine.complete(image, mask, strategy)
        return completed

    def complete_batch(
        self, images: "Sequence[Image.Image]", masks: "Sequence[Image.Image]", *, strategy: str = "resize"
    ) -> "list[Image.Image]":
        """Complete PIL images, all at once, each shown whole at the network's size or as `complete` says."""
        from imcomp.completing.engine import check_batch

        check_batch(images, masks)
        return self.engine.complete_images(images, masks, strategy)

    def cut_hole(self, image: "Image.Image", seed: int = 0) -> "Image.Image":
        """Make a hole like those that the network was trained on, scaled to the picture.

        Args:
            image: gives the size.
            seed: the same seed gives the same hole.

        Returns:
            A mask of mode `L` and the picture's size, 255 = hole.
        """
        raise NotImplementedError
