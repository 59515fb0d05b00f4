import numpy as np
import pytest
import torch
from PIL import Image

from imcomp.data.mask_files import FolderMask
from imcomp.errors import InputError


def save(file, rows, mode="L"):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(rows, dtype=np.uint8)).convert(mode).save(file)
    return file


@pytest.fixture
def pool(tmp_path):
    """Four masks of 2 x 2 pixels: the hole of mask i is pixel i."""
    for index in range(4):
        rows = [[0, 0], [0, 0]]
        rows[index // 2][index % 2] = 255
        save(tmp_path / "masks" / f"sub{index // 2}" / f"{index}.png", rows)
    return tmp_path / "masks"


def test_white_is_the_hole_and_the_nearest_pixels_make_the_size(tmp_path):
    file = save(tmp_path / "mask.png", [[255, 0], [0, 0]])

    mask = FolderMask(file)((4, 6), torch.arange(2))

    assert mask.tolist() == [[[[1.0] * 3 + [0.0] * 3] * 2 + [[0.0] * 6] * 2]] * 2
    assert mask.dtype == torch.float32


def test_128_and_above_is_hole(tmp_path):
    file = save(tmp_path / "mask.png", [[127, 128], [0, 255]])

    assert FolderMask(file)((2, 2), torch.arange(1)).tolist() == [[[[0, 1], [0, 1]]]]
    assert FolderMask(file, invert=True)((2, 2), torch.arange(1)).tolist() == [[[[1, 0], [1, 0]]]]


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_a_mask_may_be_of_any_mode(tmp_path, mode):
    file = save(tmp_path / "mask.png", [[255, 0], [0, 0]], mode)

    assert FolderMask(file)((2, 2), torch.arange(1)).tolist() == [[[[1, 0], [0, 0]]]]


def test_each_seed_gets_one_of_the_files_and_each_file_comes(pool):
    masks = FolderMask(pool)((2, 2), torch.arange(400)).flatten(1)

    assert masks.sum(dim=1).eq(1).all()
    assert masks.mean(dim=0).tolist() == [pytest.approx(0.25, abs=0.07)] * 4


def test_one_file_is_for_all(pool):
    masks = FolderMask(pool / "sub1" / "3.png", mode="fixed")((2, 2), torch.arange(20))

    assert masks.flatten(1).tolist() == [[0, 0, 0, 1]] * 20
    assert torch.equal(FolderMask(pool / "sub1" / "3.png")((2, 2), torch.arange(20)), masks)


def test_files_are_read_once_and_late(pool):
    mask = FolderMask(str(pool))
    first = mask((4, 4), torch.arange(9))
    for file in pool.rglob("*.png"):
        file.unlink()

    assert torch.equal(mask((4, 4), torch.arange(9)), first)


def test_another_size_is_read_anew(pool):
    mask = FolderMask(pool)
    small, large = mask((2, 2), torch.arange(9)), mask((4, 4), torch.arange(9))

    assert torch.equal(large[..., ::2, ::2], small)
    assert torch.equal(mask((2, 2), torch.arange(9)), small)


def test_what_cannot_be_used_is_named_in_one_line(pool):
    save(pool / "black.png", [[0, 0]])
    (pool / "cut.png").write_bytes((pool / "sub0" / "0.png").read_bytes()[:40])
    with pytest.raises(InputError) as error:
        FolderMask(pool)((2, 2), torch.arange(1))

    text = str(error.value)
    assert text.startswith("2 of 6 mask files cannot be used (")
    assert f"{pool / 'black.png'}: no white pixel, so no hole, at 2x2 pixels; {pool / 'cut.png'}: " in text
    assert "\n" not in text


def test_a_hole_too_fine_for_the_size_is_named(tmp_path):
    rows = np.zeros((9, 9))
    rows[0, 0] = 255
    with pytest.raises(InputError, match=r"mask\.png: no white pixel, so no hole, at 3x3 pixels"):
        FolderMask(save(tmp_path / "mask.png", rows))((3, 3), torch.arange(1))


def test_only_the_first_bad_files_are_named(tmp_path):
    for index in range(5):
        save(tmp_path / f"{index}.png", [[255]])
    with pytest.raises(InputError, match=r"5 of 5 .*2\.png: no black pixel.*; \.\.\.\)"):
        FolderMask(tmp_path, invert=True)((1, 1), torch.arange(1))


def test_masks_that_take_too_much_memory_are_refused_unread(pool):
    with pytest.raises(InputError, match=r"4 masks of 1000x600 pixels take 2 MB, more than mask\.max_megabytes=2;"):
        FolderMask(pool, max_megabytes=2)((1000, 600), torch.arange(1))


def test_fixed_takes_one_file(pool):
    with pytest.raises(InputError, match=r"holds 4 masks .*mask\.root=FILE.*mask\.mode=random"):
        FolderMask(pool, mode="fixed")((2, 2), torch.arange(1))


def test_a_folder_that_is_not_there_or_holds_no_masks_is_named(tmp_path):
    with pytest.raises(InputError, match=r"no mask file or folder '.*gone'; .*mask\.root=PATH"):
        FolderMask(tmp_path / "gone")((2, 2), torch.arange(1))
    with pytest.raises(InputError, match=r"no picture file anywhere in .*mask\.root=PATH"):
        FolderMask(tmp_path)((2, 2), torch.arange(1))


@pytest.mark.parametrize("options", [{"mode": "pairs"}, {"max_megabytes": 0}])
def test_an_option_out_of_range_is_named(options):
    with pytest.raises(ValueError, match=r"choose from fixed, paired, random|give at least 1"):
        FolderMask("masks", **options)


class TestPaired:
    @pytest.fixture
    def mask(self, pool):
        """The four masks, one of which is named as annotators name them."""
        (pool / "sub1" / "3.png").rename(pool / "sub1" / "3_mask.png")
        return FolderMask(pool, mode="paired")

    def test_each_picture_gets_the_mask_of_its_name(self, mask):
        names = ["sub1/3.jpg", "sub0/0.ppm", "sub1/2.png", "sub0/1.jpeg"]
        mask.check_pairs(names)

        holes = mask.paired((2, 2), [*names, names[0]], torch.device("cpu"))

        assert holes.shape == (5, 1, 2, 2)
        assert holes.flatten(1).argmax(dim=1).tolist() == [3, 0, 2, 1, 3]

    @pytest.mark.parametrize(("fit", "columns"), [("stretch", [1]), ("crop", [1, 2])])
    def test_it_comes_to_its_size_as_the_picture_does(self, tmp_path, fit, columns):
        rows = [[0] * 8 for _ in range(4)]
        rows[1][3:5] = [255] * 2  # of 8 columns; the square in the middle is 2 to 5
        mask = FolderMask(save(tmp_path / "wide" / "a.png", rows).parent, mode="paired")
        mask.check_pairs(["a.jpg"])

        hole = mask.paired((4, 4), ["a.jpg"], torch.device("cpu"), fit)[0, 0]

        assert hole[1].nonzero().flatten().tolist() == columns
        assert hole.sum() == len(columns)

    def test_an_exact_name_goes_before_one_that_is_marked(self, mask, pool):
        save(pool / "sub1" / "3.png", [[255, 0], [0, 0]])
        mask.check_pairs(["sub1/3.jpg"])

        assert mask.paired((2, 2), ["sub1/3.jpg"], torch.device("cpu")).flatten().tolist() == [1, 0, 0, 0]

    def test_pictures_without_a_mask_are_named_in_one_line(self, mask, pool):
        with pytest.raises(InputError) as error:
            mask.check_pairs(["sub0/0.jpg", "0.jpg", "a.b.jpg"])

        assert str(error.value) == (
            f"2 pictures have no mask of their name in {pool} (0.jpg, a.b.jpg); add them, such as 0.png, or give"
            " mask.mode=random"
        )

    def test_two_masks_of_one_name_are_refused(self, mask, pool):
        save(pool / "sub0" / "0.bmp", [[255]])
        with pytest.raises(InputError, match="holds two masks of the name 'sub0/0'; keep one"):
            mask.check_pairs(["sub0/0.jpg"])

    def test_one_file_is_no_folder_of_masks(self, pool):
        with pytest.raises(InputError, match=r"takes a folder and .*0\.png is a file; give mask.mode=fixed"):
            FolderMask(pool / "sub0" / "0.png", mode="paired").check_pairs(["0.jpg"])

    def test_without_names_it_is_a_pool(self, mask):
        assert mask((2, 2), torch.arange(9)).sum().item() == 9
