"""The machine and the code that a figure was measured with."""

import platform
import re
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from imcomp.benchmark.memory import total_mb
from imcomp.data.loading import count_cores

_PACKAGES = (
    *("torch", "pytorch-lightning", "numpy", "pillow", "torchvision", "torchmetrics", "hydra-core"),
    *("scikit-image", "opencv-python-headless", "onnxruntime"),
)


def describe_machine() -> dict[str, Any]:
    """Processor, cores, memory in MB, system, GPU, and the versions of what computes."""
    gpu = torch.cuda.get_device_properties(0) if torch.cuda.is_available() else None
    return {
        "processor": _processor(),
        "cores": count_cores(),
        "threads": torch.get_num_threads(),
        "memory_mb": total_mb(),
        "system": f"{platform.system()} {platform.release()}",
        "gpu": gpu and gpu.name,
        "gpu_memory_mb": gpu and round(gpu.total_memory / 1e6),
        "versions": {"python": platform.python_version(), **_versions()},
    }


def label_of(machine: dict[str, Any], device: str) -> str:
    """A short name for files, such as `amd-epyc-2-cores` or `nvidia-h200`."""
    name = machine["gpu"] if device == "cuda" else f"{machine['processor']} {machine['cores']} cores"
    return re.sub(r"[^a-z0-9]+", "-", str(name).lower()).strip("-")


def find_commit(folder: Path) -> str | None:
    """The commit that ``folder`` stands at, with `-dirty` where files differ; None outside of a checkout."""
    git = shutil.which("git")
    if git is None:
        return None
    described = subprocess.run(  # noqa: S603  # no user's text in it
        [git, "-C", str(folder), "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"],
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file() and (match := re.search(r"model name\s*: (.+)", info.read_text(encoding="utf-8"))):
        return match[1].strip()
    return platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # an extra
            continue
    return found
