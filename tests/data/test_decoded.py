import copy

import pytest
import torch
from PIL import Image

from imcomp.data.decoded import DamagedFile, PictureFile, file_bytes, write_pictures


def batch(*pictures):
    """As `write_pictures` takes them."""
    return torch.cat([picture.flatten() for picture in pictures]), torch.tensor([p.shape[1:] for p in pictures])


def write(path, channels, *batches):
    with path.open("wb") as file:
        write_pictures(file, channels, batches)
    return path


def numbered(count, channels=1, size=3):
    """Picture ``i`` holds ``i`` and what follows."""
    steps = torch.arange(channels * size * size)
    return [(number + steps).to(torch.uint8).view(channels, size, size) for number in range(count)]


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_one_size_are_gathered_in_any_order(tmp_path, channels):
    pictures = numbered(7, channels)

    decoded = PictureFile(write(tmp_path / "p", channels, batch(*pictures[:4]), batch(*pictures[4:])))

    assert len(decoded) == 7
    assert decoded.shape == (channels, 3, 3)
    gathered = decoded.gather([6, 0, 3, 3])
    assert gathered.dtype == torch.uint8
    assert torch.equal(gathered, torch.stack([pictures[number] for number in (6, 0, 3, 3)]))
    assert (tmp_path / "p").stat().st_size == file_bytes(7, channels, 3)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_pictures_of_their_own_sizes_come_as_images(tmp_path, channels, mode):
    high, wide = Image.effect_noise((2, 5), 50).convert(mode), Image.effect_noise((7, 3), 50).convert(mode)
    tensors = [torch.tensor(list(image.tobytes())).view(*image.size[::-1], channels) for image in (high, wide)]
    planes = [tensor.permute(2, 0, 1).to(torch.uint8) for tensor in tensors]

    decoded = PictureFile(write(tmp_path / "p", channels, batch(*planes)))

    assert decoded.shape is None
    assert [decoded.read(number) for number in (0, 1)] == [high, wide]


def test_no_picture(tmp_path):
    assert len(PictureFile(write(tmp_path / "p", 1))) == 0


def test_a_copy_in_another_process_opens_the_file_anew(tmp_path):
    decoded = PictureFile(write(tmp_path / "p", 1, batch(*numbered(2))))

    assert torch.equal(copy.copy(decoded).gather([1]), decoded.gather([1]))


def test_a_deleted_file_is_read_by_who_has_it_open(tmp_path):
    decoded = PictureFile(write(tmp_path / "p", 1, batch(*numbered(2))))

    decoded.path.unlink()

    assert torch.equal(decoded.gather([1])[0], numbered(2)[1])


@pytest.mark.parametrize("cut", range(0, 100, 7))
def test_a_file_that_is_not_whole_is_refused(tmp_path, cut):
    path = write(tmp_path / "p", 1, batch(*numbered(6)))
    data = path.read_bytes()
    for spoiled in (data[:cut], data[cut + 1 :], data[:cut] + b"x" + data[cut:]):
        path.write_bytes(spoiled)
        with pytest.raises(DamagedFile, match=str(path)):
            PictureFile(path)


def test_sizes_that_do_not_add_up_are_refused(tmp_path):
    path = write(tmp_path / "p", 1, (torch.zeros(9, dtype=torch.uint8), torch.tensor([[3, 4]])))

    with pytest.raises(DamagedFile, match="do not add up"):
        PictureFile(path)


def test_a_file_cut_short_while_in_use_is_an_error_and_no_picture(tmp_path):
    decoded = PictureFile(write(tmp_path / "p", 1, batch(*numbered(9))))
    with decoded.path.open("rb+") as file:
        file.truncate(20)

    with pytest.raises(DamagedFile, match="2 of 9 bytes at 18"):
        decoded.gather([2])
