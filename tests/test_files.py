import os
import subprocess
import sys

import pytest

from imcomp.files import atomic, remove_leftovers, write_text


def test_the_new_file_replaces_the_old_and_nothing_else_stays(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic(path) as beside:
        beside.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("mistake", [ValueError, KeyboardInterrupt, SystemExit])
def test_the_old_file_stays_where_writing_fails(tmp_path, mistake):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(mistake), atomic(path) as beside:  # noqa: PT012  # the mistake comes after half of the work
        beside.write_text("half")
        raise mistake
    assert path.read_text() == "old"
    assert [*tmp_path.iterdir()] == [path]


def test_nothing_is_left_where_there_was_no_file(tmp_path):
    with pytest.raises(ValueError, match="stop"), atomic(tmp_path / "new" / "a.txt") as beside:  # noqa: PT012  # the same
        beside.write_text("half")
        raise ValueError("stop")
    assert [*(tmp_path / "new").iterdir()] == []


def test_a_writer_that_wrote_nothing_is_told(tmp_path):
    with pytest.raises(FileNotFoundError), atomic(tmp_path / "a.txt"):
        pass


def test_the_suffix_tells_the_format(tmp_path):
    with atomic(tmp_path / "a.tar.gz") as beside:
        beside.touch()
        assert beside.name.endswith(".tar.gz")
        assert beside.parent == tmp_path  # one file system, so that renaming is atomic


def test_text_is_utf8_with_unix_ends_and_folders_are_made(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    write_text(path, "α\nβ\n")
    assert path.read_bytes() == b"\xce\xb1\n\xce\xb2\n"


def test_what_a_killed_process_had_begun_is_removed(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (tmp_path / "a").mkdir()
    for name in (f".{ended.pid}.a.txt", f"a/.{ended.pid}.b.png", f".{os.getppid()}.c.txt", ".hidden", "d.txt"):
        (tmp_path / name).touch()

    remove_leftovers(tmp_path)

    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {f".{os.getppid()}.c.txt", ".hidden", "d.txt"}  # the parent is at work still
