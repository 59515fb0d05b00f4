"""docs/billion.md holds what scripts/plan_billion.py computes, and the arithmetic is right."""

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("plan_billion", ROOT / "scripts" / "plan_billion.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def round_numbers():
    """Inputs that a reader can check in the head."""
    return {
        "machine": "Abacus",
        "command": "count",
        "bytes a picture": 50_000,
        "bytes of names a picture": 40,
        "bytes of the manifest a shard": 200,
        "bytes of memory a picture while packing": 200,
        "pictures/s decoded on a core": 500,
        "MB/s of sha256 on a core": 1200,
        **{f"bytes of a checkpoint, {network}": 20_000_000 for network in ("fast", "unet", "ffc")},
    }


def test_the_page_is_what_the_script_computes(script):
    measured = json.loads(script.MEASURED.read_text(encoding="utf-8"))

    assert script.PAGE.read_text(encoding="utf-8") == script.page(measured)


def test_the_arithmetic(script, round_numbers):
    found = script.plan(round_numbers)

    assert found["total_tb"] == "50.0"  # 1e9 x 50 kB
    assert found["shards"] == "195,313"  # 50e12 / 256e6
    assert found["manifest_mb"] == "39"  # x 200 bytes
    assert found["packing_memory"] == "200"
    assert found["rate"] == "192,000"  # 8 x 8 x 3000
    assert found["epoch_hours"] == "1.4"  # 1e9 / 192e3 s
    assert found["cores_needed"] == "48"  # 24,000 / 500
    assert found["node_gbit"] == "9.6"  # 24,000 x 50 kB x 8 bits
    assert found["sha_cores"] == "1.0"
    assert found["cache_gb"] == "35"  # 8 processes x 17 shards x 256 MB
    assert found["first"] == "the GPUs"


def test_the_slowest_part_is_the_first_limit(script, round_numbers):
    found = script.plan({**round_numbers, "pictures/s decoded on a core": 100})

    assert found["first"] == "the nodes' cores, which decode"
    assert found["first_rate"] == "76,800"  # 8 x 96 x 100
