"""The shapes of a network, without its memory."""

import subprocess
import sys
from pathlib import Path

import pytest

from imcomp.models import NETWORKS, build_network
from imcomp.models.outline import outline


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_it_has_the_networks_shapes(name):
    shapes = outline(name, in_channels=3)
    assert [*shapes.items()] == [
        (key, tensor.shape) for key, tensor in build_network(name, in_channels=3).state_dict().items()
    ]


def test_it_takes_no_memory():
    shapes = outline("fast", in_channels=1, channels=[50_000, 60_000])  # some 400 GB
    assert any(60_000 in shape for shape in shapes.values())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"channels": [1 << 40]}, r"channels\.0 1099511627776 is out of range; give at most 65536"),
        ({"blocks": 10**9}, "blocks 1000000000 is out of range"),
        ({"channels": []}, "no list of widths"),
        ({"no_such": 1}, "no_such"),
    ],
)
def test_what_no_network_has_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        outline("fast", in_channels=1, **options)


def test_it_does_not_wait_for_torchs_compiler():
    script = "import sys; from imcomp.models.outline import outline; outline('gated', in_channels=1)"
    script += "; print('torch._dynamo' in sys.modules)"
    root = Path(__file__).parents[2]
    ended = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    assert ended.stdout == "False\n"
