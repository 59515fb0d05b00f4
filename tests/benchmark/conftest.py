"""What the tests of the benchmark share."""

import pytest

from imcomp.benchmark.protocol import Protocol, lay_out_pictures
from imcomp.benchmark.readings import Line, Result, Work
from imcomp.cli import config_dir

MACHINE = {
    "processor": "Abacus 1",
    "cores": 2,
    "threads": 2,
    "memory_mb": 8000,
    "system": "Linux 1",
    "gpu": None,
    "gpu_memory_mb": None,
    "versions": {"python": "3.11", "torch": "2.15"},
}


@pytest.fixture
def protocol(tmp_path):
    """Forty drawn signs, in batches of 4 at 32x32 with a hole of 8x8, on the CPU."""
    lay_out_pictures(tmp_path / "pictures", 40, tmp_path / "nowhere")
    return Protocol(
        folder=tmp_path / "pictures",
        count=40,
        size=32,
        hole=8,
        batch_size=4,
        device="cpu",
        config_dir=config_dir(),
        work=tmp_path,
        data_root=tmp_path / "nowhere",
        counts=(100,),
    )


@pytest.fixture
def result():
    """Makes a result of one suite; ``result("train", lines, device="cuda")``."""

    def made(suite, lines, device="cpu", **machine):
        return Result(
            suite=suite,
            device=device,
            machine={**MACHINE, **machine},
            date="2026-01-31 12:00 UTC",
            commit="0123456789ab",
            command=f"python scripts/benchmark.py suite={suite}",
            settings={"repeats": 3},
            pictures="GTSRB",
            lines=lines,
        )

    return made


@pytest.fixture
def line():
    """Makes a line in pictures/s; ``line("imcomp", 1, 2, 3, against="reference")``."""

    def made(name, *values, group="a group", quantity="pictures/s", flops=None, **options):
        work = None if flops is None else Work(flops, 1.0, "float32")
        return Line(name, group, quantity, list(map(float, values)), work=work, **options)

    return made
