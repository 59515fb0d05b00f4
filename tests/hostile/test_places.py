"""Names, links and disks: results stay in the output folder, and nothing else is touched."""

import errno
import os
import subprocess
import sys

import pytest
from PIL import Image

NAMES = [
    "with blanks.png",
    " leading.png",
    "new\nline.png",
    "tab\tand\rreturn.png",
    "ünïcödé 標識 🚸.png",
    "e\u0301.png",
    "-rf.png",
    "--help.png",
    "$(touch hacked).png",
    "`touch hacked`.png",
    "; rm -rf *;.png",
    "${oc.env:HOME}.png",
    "%s%n.png",
    "a=b.png",
    "a,b.png",
    "[a].png",
    "{a}.png",
    "quote'.png",
    'double".png',
    "<img src=x onerror=alert(1)>.png",
    "&amp;.png",
    "..png",
    "...png",
    "#ff00ff.png",
    "null.png",
    "CON.png",
    "a" * 200 + ".png",
    os.fsdecode(b"no-\xff-text.png"),
]


@pytest.mark.parametrize("name", [name for name in NAMES if name[0] in " n-$e[{q#a" and len(name) < 30])
def test_a_file_of_any_name_is_completed_alone(command, tmp_path, name):
    Image.effect_noise((40, 30), 60).save(tmp_path / "plain.png")
    (tmp_path / "plain.png").rename(tmp_path / name)
    code, _, err = command(f"input={name}", "side_by_side=false")
    assert (code, err) == (0, "")
    assert (tmp_path / "completed" / name).is_file()


def test_files_of_all_names_are_completed_together(command, tmp_path, picture, written):
    for name in NAMES:
        (tmp_path / "in").mkdir(exist_ok=True)
        picture("plain.png").rename(tmp_path / "in" / name)
    code, _, err = command("input=in")
    assert (code, err) == (0, "")
    visible = sorted(name for name in NAMES if not name.startswith("."))
    assert written() == visible
    page = (tmp_path / "completed" / "index.html").read_text(encoding="utf-8")
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;.png" in page


@pytest.mark.parametrize("pattern", ["in/*/../../../secret.png", "in/sub/../../../*.png"])
def test_a_glob_leads_no_result_out(command, tmp_path, picture, pattern, written):
    picture("in/sub/a.png")
    code, _, err = command(f"input={pattern}")
    assert code in (0, 1, 2)
    assert "Traceback" not in err
    assert not any(name.startswith("..") for name in written())


def test_an_absolute_path_is_named_by_its_last_part(command, tmp_path, picture, written):
    code, _, err = command(f"input={picture('in/a.png')}")
    assert (code, err) == (0, "")
    assert written() == ["a.png"]


def test_a_linked_picture_is_completed_and_stays(command, tmp_path, picture, written):
    picture("elsewhere/b.png")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").symlink_to("../elsewhere/b.png")
    assert command("input=in")[0] == 0
    assert written() == ["a.png"]
    assert not (tmp_path / "completed" / "a.png").is_symlink()


def test_links_in_a_circle_end(command, tmp_path, picture, written):
    picture("in/a.png")
    (tmp_path / "in" / "again").symlink_to(".")
    (tmp_path / "in" / "loop.png").symlink_to("loop.png")
    code, out, _ = command("input=in")
    assert code == 1
    assert "left out 'in/loop.png'" in out
    assert written() == ["a.png"]


def test_a_circle_for_an_input_is_one_line(command, tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    for argument in ("input=loop", "input=loop/*.png"):
        code, _, err = command(argument)
        assert (code, err.count("\n")) == (2, 1)


def test_a_circle_for_an_output_is_one_line(command, tmp_path, picture):
    picture("in/a.png")
    (tmp_path / "completed").symlink_to("completed")
    code, _, err = command("input=in")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("error: output: completed cannot be followed (")


def test_a_folder_where_a_result_goes_is_named(command, tmp_path, picture):
    picture("in/a.png")
    (tmp_path / "completed" / "a.png").mkdir(parents=True)
    code, _, err = command("input=in")
    assert (code, err) == (2, "error: completed/a.png: is a directory; give another path or mend it\n")


def test_an_output_that_is_a_link_is_replaced_and_not_followed(command, tmp_path, picture):
    picture("in/a.png")
    (tmp_path / "precious.png").write_bytes(b"precious")
    (tmp_path / "completed").mkdir()
    (tmp_path / "completed" / "a.png").symlink_to("../precious.png")
    assert command("input=in")[0] == 0
    assert (tmp_path / "precious.png").read_bytes() == b"precious"
    assert not (tmp_path / "completed" / "a.png").is_symlink()


@pytest.mark.parametrize("name", ["sub", "side_by_side", ".imcomp"])
def test_a_folder_in_the_output_that_leads_out_is_refused(command, tmp_path, picture, name):
    picture("in/sub/a.png")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "completed").mkdir()
    (tmp_path / "completed" / name).symlink_to("../elsewhere")
    code, _, err = command("input=in")
    assert (code, err.count("\n")) == (2, 1)
    assert "link" in err
    assert [*(tmp_path / "elsewhere").iterdir()] == []


def test_the_journal_is_no_way_out(command, tmp_path, picture):
    picture("in/a.png")
    (tmp_path / "precious.txt").write_text("precious")
    (tmp_path / "completed" / ".imcomp").mkdir(parents=True)
    (tmp_path / "completed" / ".imcomp" / "journal.jsonl").symlink_to("../../precious.txt")
    code, _, err = command("input=in")
    assert (code, err.count("\n")) == (2, 1)
    assert (tmp_path / "precious.txt").read_text() == "precious"


@pytest.mark.parametrize(
    "content", ["", "no json\n", '{"job": "a"', '{"job": "a", "key": 1, "row": 2, "length": 3}\n', "[]\n\0\n"]
)
def test_a_damaged_journal_is_no_harm(command, tmp_path, picture, written, content):
    picture("in/a.png")
    (tmp_path / "completed" / ".imcomp").mkdir(parents=True)
    (tmp_path / "completed" / ".imcomp" / "journal.jsonl").write_text(content)
    assert command("input=in")[0] == 0
    assert written() == ["a.png"]


def test_an_output_that_is_a_file_is_refused(command, tmp_path, picture):
    picture("in/a.png")
    (tmp_path / "out").write_text("a file")
    code, _, err = command("input=in", "output=out")
    assert (code, err) == (2, "error: output=out is a file; give a folder\n")


def test_inputs_and_masks_are_never_overwritten(command, tmp_path, picture, mask):
    picture("in/a.png")
    mask("masks/a.png")
    for arguments in (["input=in/a.png", "output=in"], ["input=in", "mask=masks", "output=masks"]):
        code, _, err = command(*arguments)
        assert (code, err.count("\n")) == (2, 1)
        assert "give another" in err


def test_a_full_disk_is_one_line_and_leaves_whole_files(command, tmp_path, picture, monkeypatch, written):
    for number in range(3):
        picture(f"in/{number}.png")
    save, calls = Image.Image.save, []

    def full(image, file, *arguments, **options):
        calls.append(file)
        if len(calls) > 2:
            file.write_bytes(b"\x89PNG")
            raise OSError(errno.ENOSPC, "No space left on device")
        save(image, file, *arguments, **options)

    monkeypatch.setattr(Image.Image, "save", full)
    code, _, err = command("input=in", "side_by_side=false", "contact_sheet=false", "batch_size=1")
    assert (code, err.count("\n")) == (2, 1)
    assert "No space left on device" in err
    monkeypatch.undo()
    for name in written():
        with Image.open(tmp_path / "completed" / name) as image:
            image.load()
    assert not [*(tmp_path / "completed").glob(".[0-9]*")]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="root alone may mount a disk of its own")
@pytest.mark.parametrize("kind", ["size=64k", "ro"])
def test_a_real_disk_that_is_full_or_read_only(tmp_path, checkpoint, kind):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", kind, "tmpfs", str(disk)], check=False, capture_output=True
    ).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        (tmp_path / "in").mkdir()
        for number in range(8):
            Image.effect_noise((200, 200), 90).save(tmp_path / "in" / f"{number}.png")
        arguments = [f"ckpt={checkpoint}", f"input={tmp_path / 'in'}", f"output={disk / 'out'}", "device=cpu"]
        script = "import sys; from imcomp.cli import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", script, "predict", *arguments],
            check=False,
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        said = done.stderr.lower()
        assert "no space left" in said or "read-only file system" in said
        for file in disk.rglob("*.png"):
            with Image.open(file) as image:
                image.load()
    finally:
        subprocess.run(["umount", str(disk)], check=True)
