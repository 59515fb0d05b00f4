"""Backends: the same numbers, or one line why not."""

import pytest
import torch
from torch import nn

import imcomp.backends
import imcomp.export.writing
from imcomp.backends import BACKENDS, Program, build_backend
from imcomp.box import Box
from imcomp.errors import InputError
from imcomp.filling import fill
from imcomp.models import build_network
from imcomp.models.autoencoder import _interpolation

SIZE = 32
BOX = Box(8, 12, 20, 24)


def network(name="autoencoder", **options):
    torch.manual_seed(0)
    small = {"autoencoder": {"channels": [4, 8]}, "unet": {"channels": [4, 8]}}
    return build_network(name, in_channels=1, **small.get(name, {}), **options).eval()


def pictures(count):
    generator = torch.Generator().manual_seed(count)
    mask = torch.zeros(count, 1, SIZE, SIZE)
    BOX.crop(mask).fill_(1)
    return torch.rand(count, 1, SIZE, SIZE, generator=generator), mask


@torch.inference_mode()
def compare(name, plain, box):
    backend = build_backend(name, plain)
    for count in (1, 3):
        image, mask = pictures(count)
        expected = fill(plain, image, mask, box, context="reach")
        torch.testing.assert_close(fill(backend, image, mask, box, context="reach"), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["auto", "eager"])
def test_by_itself_the_network_computes(name):
    plain = network()
    assert build_backend(name, plain) is plain


@pytest.mark.slow
@pytest.mark.parametrize("box", [None, BOX])
@pytest.mark.parametrize("name", ["autoencoder", "unet"])
def test_compiled_it_gives_the_same(name, box):
    compare("compile", network(name, mask_channel=True), box)


@pytest.mark.slow
@pytest.mark.parametrize("box", [None, BOX])
@pytest.mark.parametrize("name", ["autoencoder", "unet"])
def test_exported_it_gives_the_same(name, box):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    compare("onnx", network(name, mask_channel=True), box)


@pytest.mark.slow
def test_exporting_leaves_the_network_as_it_was():
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    _interpolation.cache_clear()
    plain = network()
    image, mask = pictures(1)
    with torch.inference_mode():
        exported = fill(build_backend("onnx", plain), image, mask, BOX, context="reach")
    trained = fill(plain, image, mask, BOX, context="reach")
    trained.sum().backward()
    torch.testing.assert_close(exported, trained.detach(), atol=1e-5, rtol=1e-4)


class Counted(Program):
    """Counts what it builds."""

    def __init__(self, plain):
        super().__init__(plain)
        self.built = []

    def build(self, boxed, image):
        self.built.append((tuple(image.shape), boxed.box))
        return boxed


def test_a_program_serves_all_pictures_with_the_same_hole(monkeypatch):
    monkeypatch.setitem(BACKENDS, "counted", Counted)
    compare("counted", plain := network(), BOX)
    backend = build_backend("counted", plain)
    for count in (1, 3, 2):
        backend(torch.zeros(count, 1, SIZE, SIZE), BOX)
    assert backend.built == [((1, 1, SIZE, SIZE), BOX)]


def test_holes_in_ever_new_places_do_not_build_for_ever(monkeypatch):
    monkeypatch.setattr(imcomp.backends, "MOST_PROGRAMS", 2)
    backend = Counted(plain := network())
    image = torch.rand(1, 1, SIZE, SIZE)
    for left in range(4):
        box = Box(0, left, 8, left + 8)
        assert torch.equal(backend(image, box), plain(image, box))
    assert len(backend.built) == 2


def test_an_unknown_one_is_told():
    with pytest.raises(InputError, match=r"^backend=tvm is unknown; choose from auto, eager, compile, onnx$"):
        build_backend("tvm", network())


def test_missing_packages_are_told(monkeypatch):
    monkeypatch.setattr(imcomp.export.writing, "NEEDS", ("onnx", "no_such_package"))
    with pytest.raises(InputError, match=r"^backend=onnx needs no_such_package; pip install 'imcomp\[onnx\]', or give"):
        build_backend("onnx", network())


class Unexportable(nn.Module):
    """What it computes depends on what it is shown in a way that no graph holds."""

    multiple = 1
    reach = 0

    def forward(self, image):
        return image * float(str(float(image.sum())))


@pytest.mark.slow
def test_what_cannot_be_exported_is_told():
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    with pytest.raises(
        InputError, match=r"^the network cannot be exported to ONNX \(.+\); give backend=eager$"
    ) as told:
        build_backend("onnx", Unexportable())(torch.ones(1, 1, 4, 4))
    assert "\n" not in str(told.value)


def test_what_cannot_be_compiled_is_told(monkeypatch):
    def fail(image):
        raise RuntimeError("no compiler\nat all")

    monkeypatch.setattr(torch, "compile", lambda boxed: fail)
    with pytest.raises(InputError, match=r"^the network cannot be compiled here \(.+\); give backend=eager$") as told:
        build_backend("compile", network())(torch.ones(1, 1, 4, 4))
    assert "\n" not in str(told.value)


def test_onnx_refuses_bfloat16(monkeypatch):
    monkeypatch.setattr(imcomp.export.writing, "NEEDS", ())
    backend = build_backend("onnx", network())
    with (
        torch.autocast("cpu", torch.bfloat16),
        pytest.raises(InputError, match="backend=onnx computes in float32 on the CPU; give device=cpu precision=32"),
    ):
        backend(torch.ones(1, 1, SIZE, SIZE))
