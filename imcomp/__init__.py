"""imcomp: completes images. Part of a picture is missing; a network trained on pictures like it fills the hole."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imcomp.inference import Completer

__all__ = ["Completer", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # late, so that `import imcomp` and the command line's --help do not wait for torch
    if name == "Completer":
        from imcomp.inference import Completer

        return Completer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
