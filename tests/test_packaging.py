"""The wheel: what `pip install` gives, away from any checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", folder, ROOT], check=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_config_tree_travels_in_the_wheel(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    own = {f"imcomp/conf/{file.relative_to(ROOT / 'conf').as_posix()}" for file in (ROOT / "conf").rglob("*.yaml")}

    own |= {file.relative_to(ROOT).as_posix() for file in (ROOT / "imcomp" / "pretrained").iterdir() if file.is_file()}

    assert own <= names
    assert "imcomp/py.typed" in names
    assert "imcomp/app/docs/examples/stop.png" in names
    assert "imcomp/app/docs/example-masks/stop.png" in names
    assert not any(name.startswith(("tests/", "conf/", "docs/")) for name in names)


def test_installed_it_trains_and_predicts_from_any_directory(wheel, tmp_path):
    site, here, mine = tmp_path / "site", tmp_path / "here", tmp_path / "mine" / "experiment"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    here.mkdir()
    mine.mkdir(parents=True)
    (mine / "short.yaml").write_text("# @package _global_\ntrainer:\n  max_epochs: 1\n")

    def imcomp(*arguments):
        code = "from imcomp.cli import main; main()"
        environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", code, *map(str, arguments)]
        return subprocess.run(command, cwd=here, env=environment, check=True, text=True, capture_output=True).stdout

    trained = imcomp("train", "--config-dir", mine.parent, "experiment=short", "debug=fast", "trainer.max_epochs=1")
    completed = imcomp("predict", f"input={ROOT / 'docs' / 'examples'}", "output=completed")

    assert "imcomp predict ckpt=outputs/train/" in trained
    assert (here / "outputs" / "latest" / "checkpoints" / "best.ckpt").is_file()
    assert "completed 8 of 8 pictures" in completed
    assert (here / "completed" / "stop.png").is_file()
