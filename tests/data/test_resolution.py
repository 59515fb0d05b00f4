from pathlib import Path

import pytest
import torch
from PIL import Image

from imcomp.data.datamodule import InpaintingDataModule
from imcomp.data.pictures import BadPicture
from imcomp.data.resolution import LowResolution
from imcomp.data.sources import left_out
from imcomp.data.transforms import to_size, to_tensor
from imcomp.errors import InputError

CENTER = {"name": "center", "size": 4}


class Noise:
    """Two pictures in one group, and nothing that a source may go without."""

    def __len__(self):
        return 2

    def read(self, index):
        return Image.effect_noise((30 + index, 20), 80)

    def name(self, index):
        return f"{index}.png"

    def group(self, index):
        return "both"


class Named(Noise):
    def fingerprint(self):
        return "noise"

    def part(self, index):
        return "val"

    def rate(self, index):
        return 0.5


class Folder(Named):
    root = Path("pictures")
    bad = (BadPicture(root / "2.png", "empty"),)


def test_what_was_left_out_is_told():
    low = LowResolution(Folder(), 8, "stretch")

    assert left_out(low) == Folder.bad
    assert low.root == Folder.root
    assert left_out(LowResolution(Noise(), 8, "stretch")) == ()


def test_pictures_become_small_and_nothing_else_changes():
    source = Noise()
    low = LowResolution(source, 8, "stretch")

    assert len(low) == 2
    assert (low.name(1), low.group(1)) == ("1.png", "both")
    assert low.read(1).size == (8, 8)


@pytest.mark.parametrize("fit", ["stretch", "crop"])
def test_they_are_brought_there_as_to_any_size(fit):
    picture = Image.effect_noise((30, 20), 80)
    source = Noise()
    source.read = lambda _: picture

    assert LowResolution(source, 8, fit).read(0).tobytes() == to_size(picture, 8, fit).tobytes()


@pytest.mark.parametrize("name", ["fingerprint", "part", "rate"])
def test_what_a_source_goes_without_it_goes_without_too(name):
    assert not hasattr(LowResolution(Noise(), 8, "stretch"), name)
    assert hasattr(LowResolution(Named(), 8, "stretch"), name)


def test_what_a_source_decides_stays():
    low = LowResolution(Named(), 8, "stretch")

    assert (low.part(0), low.rate(0)) == ("val", 0.5)
    names = {LowResolution(Named(), *how).fingerprint() for how in ((8, "stretch"), (9, "stretch"), (8, "crop"))}
    assert len(names) == 3
    assert all("noise" in name for name in names)


@pytest.mark.parametrize("cache", ["off", "ram", "disk"])
def test_batches_show_them_enlarged(tmp_path, cache):
    for index in range(8):
        Image.effect_noise((30, 20), 80).save(tmp_path / f"{index}.png")

    def first(resolution):
        datamodule = InpaintingDataModule(
            *("folder", CENTER),
            root=tmp_path,
            size=16,
            num_workers=0,
            cache=cache,
            resolution=resolution,
            cache_dir=tmp_path / ".cache",
        )
        datamodule.setup("fit")
        return datamodule.dataset("val")[0]

    pictures = {resolution: first(resolution)[0] for resolution in (None, 4)}
    _, index = first(4)

    with Image.open(tmp_path / f"{index}.png") as file:
        expected = to_size(to_size(file, 4), 16)
    assert torch.equal(pictures[4], to_tensor(expected))
    assert not torch.equal(pictures[None], pictures[4])


def test_no_resolution_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"^data\.resolution=0 .*at least 1"):
        InpaintingDataModule("folder", CENTER, root=tmp_path, resolution=0)
