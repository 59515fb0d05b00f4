"""How long a command takes before it does anything, and for one picture."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from imcomp.benchmark.configs import checkpoint_of, quoted
from imcomp.benchmark.contest import Entrant
from imcomp.benchmark.memory import PER_MB
from imcomp.benchmark.protocol import Protocol
from imcomp.benchmark.readings import Reading
from imcomp.errors import InputError

FLOOR = "importing torch"
HELP, CONFIG, PREDICT = "train.py --help", "train.py --cfg job", "predict.py, one picture"

# Small as it is, so that the peak it tells is the command's: none is told below that of whoever started it.
_LAUNCH = """
import subprocess, sys, time
started = time.perf_counter()
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
seconds, peak = time.perf_counter() - started, 0
try:
    import resource
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
except ImportError:
    pass
print(code, seconds, peak)
"""


def entrants(protocol: Protocol) -> list[Entrant]:
    """Commands from the shell's line to the prompt."""
    seconds = ("from start to end", "s")
    checkpoint = f"ckpt={quoted(checkpoint_of(protocol, 'model=autoencoder'))}"
    predict = (checkpoint, f"input={quoted(protocol.paths[0])}", f"device={protocol.device}")
    return [
        Entrant(FLOOR, *seconds, Command(protocol.work, ("-c", "import torch")), how='python -c "import torch"'),
        Entrant(HELP, *seconds, Command(protocol.work, _imcomp("train", "--help")), FLOOR),
        Entrant(CONFIG, *seconds, Command(protocol.work, _imcomp("train", "--cfg", "job")), FLOOR),
        Entrant(PREDICT, *seconds, Command(protocol.work, _imcomp("predict", *predict)), FLOOR),
    ]


@dataclass(frozen=True)
class Command:
    """Runs Python twice, the first time to warm up the system's file cache.

    Attributes:
        work: folder for what the command writes.
        arguments: after the interpreter.
    """

    work: Path
    arguments: tuple[str, ...]

    def __call__(self, seconds: float) -> Reading:
        _launch(self.work, self.arguments)
        taken, peak = _launch(self.work, self.arguments)
        return Reading({"s": taken}, peak_mb=peak or None)


def _launch(work: Path, arguments: tuple[str, ...]) -> tuple[float, float]:
    """Run a command in a folder of its own; return its seconds, and its peak in MB."""
    launch = [sys.executable, "-I", "-S", "-c", _LAUNCH, sys.executable, *arguments]
    with TemporaryDirectory(dir=work) as folder:
        done = subprocess.run(  # noqa: S603  # the arguments are our own
            launch, cwd=folder, stdout=subprocess.PIPE, text=True, check=True
        )
    code, taken, peak = map(float, done.stdout.split())
    if code:
        raise InputError(f"the command ended with exit code {code:.0f}")
    return taken, round(peak / PER_MB, 1)


def _imcomp(command: str, *arguments: str) -> tuple[str, ...]:
    return ("-c", f"from imcomp.cli import run; run({command!r})", *arguments)
