"""What the app is started with."""

import pytest

from imcomp.app.settings import Settings
from imcomp.errors import InputError


def test_loopback_is_the_default():
    assert Settings(("a.ckpt",)).host == "127.0.0.1"


def test_millions_are_counted():
    settings = Settings(("a.ckpt",), max_mb=0.5, max_megapixels=2)
    assert (settings.max_bytes, settings.max_pixels) == (500_000, 2_000_000)


@pytest.mark.parametrize("key", ["max_mb", "max_megapixels", "concurrency", "waiting", "keep_minutes"])
@pytest.mark.parametrize("value", [0, -1])
def test_too_little_is_told(key, value):
    with pytest.raises(InputError, match=f"^{key}={value} is too small; give a number above 0$"):
        Settings(("a.ckpt",), **{key: value})


@pytest.mark.parametrize("key", ["max_mb", "max_megapixels", "keep_minutes"])
def test_a_number_without_end_is_told(key):
    with pytest.raises(InputError, match=f"^{key}=inf has no end; give a finite number$"):
        Settings(("a.ckpt",), **{key: float("inf")})


@pytest.mark.parametrize("port", [-1, 65536])
def test_no_port_is_told(port):
    with pytest.raises(InputError, match=f"port={port} is no port"):
        Settings(("a.ckpt",), port=port)
