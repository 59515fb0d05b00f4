import os
import subprocess
import sys
from pathlib import Path

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


@pytest.fixture
def ended():
    """The number of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def left(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_what_a_killed_process_had_begun_is_removed(tmp_path, ended):
    (tmp_path / "a").mkdir()
    for name in (f".imcomp-{ended}.a.txt", f"a/.imcomp-{ended}.b.png", ".imcomp-99999999999999.c.png"):
        (tmp_path / name).touch()
    (tmp_path / f".imcomp-{os.getppid()}.c.txt").touch()  # the parent is at work still

    remove_leftovers(tmp_path)

    assert left(tmp_path) == {"a", f".imcomp-{os.getppid()}.c.txt"}


def test_files_of_others_are_no_leftovers(tmp_path, ended):
    names = {f".{ended}.notes.txt", ".20240101120000.jpg", ".imcomp-notes.txt", f"imcomp-{ended}.a.txt", ".hidden"}
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / f".imcomp-{ended}.d").mkdir()

    remove_leftovers(tmp_path)

    assert left(tmp_path) == {*names, f".imcomp-{ended}.d"}


def test_a_leftover_that_may_not_be_removed_stays(tmp_path, ended, monkeypatch):
    (tmp_path / f".imcomp-{ended}.a.txt").touch()

    def refuse(path, *, missing_ok=False):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    remove_leftovers(tmp_path)
    assert left(tmp_path) == {f".imcomp-{ended}.a.txt"}


@pytest.mark.parametrize("name", ["a" * 251 + ".png", "ä" * 120 + ".png"])
def test_a_name_may_be_as_long_as_the_file_system_takes(tmp_path, name):
    with atomic(tmp_path / name) as beside:
        beside.write_text("new")
        assert beside.suffix == ".png"
    assert left(tmp_path) == {name}
