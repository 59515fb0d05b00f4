"""What the app is started with."""

import math
from dataclasses import dataclass, fields

from imcomp.errors import InputError


@dataclass(frozen=True)
class Settings:
    """How the app is served, and what it takes.

    Attributes:
        ckpts: networks to choose among, the first by default; what ``Completer`` takes.
        host: address to listen on; loopback reaches this machine alone.
        port: to listen on; 0 for any that is free.
        device: see ``Completer``.
        max_mb: of an uploaded file, in 10**6 bytes.
        max_megapixels: of a picture, in 10**6 pixels.
        concurrency: pictures that are completed at once.
        waiting: pictures that may wait; more are turned away.
        keep_minutes: after which uploads and results are deleted.

    Raises:
        InputError: a number that is not above 0, or has no end.
    """

    ckpts: tuple[str, ...]
    host: str = "127.0.0.1"
    port: int = 7860
    device: str = "auto"
    max_mb: float = 32
    max_megapixels: float = 50
    concurrency: int = 1
    waiting: int = 64
    keep_minutes: float = 60

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type not in (int, float) or field.name == "port":
                continue
            if not value > 0:
                raise InputError(f"{field.name}={value} is too small; give a number above 0")
            if value == math.inf:
                raise InputError(f"{field.name}={value} has no end; give a finite number")
        if not 0 <= self.port < 1 << 16:
            raise InputError(f"port={self.port} is no port; give one from 1 to 65535, or 0 for any that is free")

    @property
    def max_bytes(self) -> int:
        """Of an uploaded file."""
        return round(self.max_mb * 1e6)

    @property
    def max_pixels(self) -> int:
        """Of a picture."""
        return round(self.max_megapixels * 1e6)
