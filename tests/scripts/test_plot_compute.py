"""The picture of error against compute: what it reads, and what it refuses in one line."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("matplotlib")
SCRIPT = Path(__file__).parents[2] / "scripts" / "plot_compute.py"
RUNS = "series,parameters,pictures,minutes,mse,low,high,accuracy\n" + "\n".join(
    f"{series},{parameters},{pictures},{pictures // 100},{mse},{0.9 * mse},{1.1 * mse},{1 - 10 * mse}"
    for series, parameters in (("narrow", 1000), ("wide", 4000))
    for pictures, mse in ((1000, 0.01), (2000, 0.005), (4000, 0.003))
)


def plot(*arguments):
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("axis", ["compute", "pictures", "minutes"])
def test_it_draws(tmp_path, axis):
    (tmp_path / "runs.csv").write_text(RUNS)
    ended = plot(tmp_path / "compute.png", tmp_path / "runs.csv", "--x", axis)
    assert ended.returncode == 0, ended.stderr
    with Image.open(tmp_path / "compute.png") as image:
        assert image.width > 1000


@pytest.mark.parametrize(
    ("content", "words"),
    [("series,mse\na,1\n", "has no column parameters; give series"), (RUNS.partition("\n")[0] + "\n", "no run in")],
)
def test_files_that_do_not_do(tmp_path, content, words):
    (tmp_path / "runs.csv").write_text(content)
    ended = plot(tmp_path / "compute.png", tmp_path / "runs.csv")
    assert ended.returncode == 1
    assert words in ended.stderr
    assert ended.stderr.count("\n") == 1
