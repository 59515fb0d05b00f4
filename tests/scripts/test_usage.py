"""The scripts behind docs/sweeps.md say how they are called."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")
SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "arguments", "code", "words"),
    [
        ("compare_storages", ["--help"], 0, "usage: "),
        ("compare_storages", ["many"], 2, "invalid int value: 'many'"),
        ("compare_pruning", ["--help"], 0, "usage: "),
        ("compare_pruning", ["soon", "median"], 2, "give seconds and a pruner"),
    ],
)
def test_usage(script, arguments, code, words):
    line = [sys.executable, SCRIPTS / f"{script}.py", *arguments]
    ended = subprocess.run(line, capture_output=True, text=True, check=False)
    assert ended.returncode == code
    assert words in ended.stdout + ended.stderr
