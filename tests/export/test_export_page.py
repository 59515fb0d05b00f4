"""The examples of docs/export.md run as they stand there."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imcomp import Completer
from imcomp.export.metadata import Metadata
from imcomp.export.writing import OPSETS
from imcomp.models import NETWORKS

PAGE = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=["with imcomp", "without imcomp"])
def test_the_examples_run_without_torch(example, exported, tmp_path):
    graph = exported[1].path
    (tmp_path / "best.onnx").write_bytes(graph.read_bytes())
    image = Image.effect_noise((45, 31), 50).convert("RGB")
    mask = Image.new("L", image.size)
    mask.paste(255, (10, 10, 20, 20))
    image.save(tmp_path / "sign.png")
    mask.save(tmp_path / "mask.png")

    script = f"{example}\nimport sys; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (run.returncode, run.stderr) == (0, "")
    loaded = set(run.stdout.split())
    assert "torch" not in loaded
    assert ("imcomp" in loaded) is ("from imcomp" in example)
    strategy = "auto" if "from imcomp" in example else "original"
    expected = np.asarray(Completer(graph).complete(image, mask, strategy=strategy), int)
    with Image.open(tmp_path / "completed.png") as completed:
        pixels = np.asarray(completed, int)
    known = np.asarray(mask) == 0
    assert np.array_equal(pixels[known], np.asarray(image)[known])
    assert np.abs(pixels - expected).max() <= 1


def test_the_page_names_what_there_is():
    assert all(f"`{name}`" in PAGE for name in NETWORKS)
    assert all(f"`{field}`" in PAGE for field in Metadata.__dataclass_fields__)
    assert f"{OPSETS[0]} to {OPSETS[1]}" in PAGE
