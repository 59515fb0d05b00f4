"""imcomp: completes images. Part of a picture is missing; a network trained on pictures like it fills the hole."""

__version__ = "0.1.0"
