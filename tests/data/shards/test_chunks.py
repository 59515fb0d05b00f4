import numpy as np
import pytest

from imcomp.data.shards.chunks import ChunkFile, write_chunk
from imcomp.errors import InputError

ITEMS = [(7, b"first", b"a/b.png"), (1 << 40, b"", "ü.png".encode())]


def test_what_is_written_is_read(tmp_path):
    write_chunk(tmp_path / "chunk", ITEMS)

    chunk = ChunkFile(tmp_path / "chunk", 2)

    assert [tuple(chunk.item(1)), tuple(chunk.item(0))] == [ITEMS[1], ITEMS[0]]
    assert [path.name for path in tmp_path.iterdir()] == ["chunk"]


def test_arrays_keep_their_pixels(tmp_path):
    array = np.arange(3 * 2 * 2, dtype=np.uint8).reshape(3, 2, 2)
    write_chunk(tmp_path / "chunk", [(0, array, b"x")])

    assert ChunkFile(tmp_path / "chunk", 1).item(0).pixels.tolist() == list(range(12))


def test_a_chunk_is_refused_where_it_is_not_what_it_should_be(tmp_path):
    write_chunk(tmp_path / "chunk", ITEMS)

    with pytest.raises(InputError, match="holds 2 pictures, 3 by the manifest"):
        ChunkFile(tmp_path / "chunk", 3)

    (tmp_path / "half").write_bytes((tmp_path / "chunk").read_bytes()[:-3])
    with pytest.raises(InputError, match=r"half ends after .* bytes, in the middle; copy it again"):
        ChunkFile(tmp_path / "half", 2).item(1)


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (8, r"its table of pictures is not in order"),  # where the second picture begins
        (16, r"a picture of it has other lengths than it says"),  # how long the first one's number is
        (20, r"a picture of it has other lengths than it says"),  # how long the first one is
    ],
)
def test_a_chunk_of_the_right_length_whose_numbers_are_damaged_is_one_line(tmp_path, at, said):
    write_chunk(tmp_path / "chunk", ITEMS)
    content = bytearray((tmp_path / "chunk").read_bytes())
    content[at : at + 4] = b"\1\0\0\0"
    (tmp_path / "chunk").write_bytes(content)

    with pytest.raises(InputError, match=rf"chunk is damaged: {said}; copy it again, or pack anew$"):
        ChunkFile(tmp_path / "chunk", 2).item(0)


def test_a_deleted_file_is_known(tmp_path):
    write_chunk(tmp_path / "chunk", ITEMS)
    chunk = ChunkFile(tmp_path / "chunk", 2)
    assert not chunk.is_deleted()

    (tmp_path / "chunk").unlink()

    assert chunk.is_deleted()
    assert chunk.item(0).number == 7  # and yet it can be read
