"""`imcomp predict` on what people should not give it, and a look at all that lies around."""

import hashlib

import pytest
from PIL import Image

from imcomp.inference import Completer


@pytest.fixture(scope="session")
def completer(checkpoint):
    return Completer(checkpoint, "cpu")


@pytest.fixture
def command(command, tmp_path, checkpoint):
    """Run ``imcomp predict ARGUMENTS`` in a folder of its own: exit code, stdout, stderr.

    Nothing but the output folder may change, whatever happens.
    """

    def called(*arguments):
        given = [argument for argument in arguments if argument.startswith("ckpt=")] or [f"ckpt={checkpoint}"]
        others = [argument for argument in arguments if not argument.startswith("ckpt=")]
        before = snapshot(tmp_path)
        code, out, err = command("predict", *given, "device=cpu", *others)
        assert snapshot(tmp_path) == before, "only the output folder may change"
        assert "Traceback" not in out + err
        return code, out, err

    return called


def snapshot(root):
    """All that lies below a folder but ``completed``: names, kinds, contents."""
    found = {}
    for path in sorted(root.rglob("*")):
        if path.relative_to(root).parts[0] == "completed":
            continue
        if path.is_symlink():
            found[path] = path.readlink()
        else:
            found[path] = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder or pipe"
    return found


@pytest.fixture
def written(tmp_path):
    """Names of the pictures below ``completed``, without sheets and what runs remember."""

    def found():
        folder = tmp_path / "completed"
        files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        shown = (file for file in files if file.parts[0] not in {".imcomp", "side_by_side"})
        return sorted(file.as_posix() for file in shown if file.suffix not in {".csv", ".html"})

    return found


@pytest.fixture
def picture(tmp_path):
    """Write a picture of noise: ``picture("in/a.png")``."""

    def save(name, size=(40, 30), mode="L"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise(size, 60).convert(mode).save(path)
        return path

    return save


@pytest.fixture
def mask(tmp_path):
    """Write a mask with a rectangular hole: ``mask("m.png")``."""

    def save(name, size=(40, 30), box=(10, 10, 18, 18), white=255, mode="L"):
        image = Image.new("L", size)
        image.paste(white, box)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.convert(mode).save(path)
        return path

    return save
