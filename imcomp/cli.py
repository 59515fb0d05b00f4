"""The command line: ``imcomp train``, and what ``train.py`` and its like call.

Nothing heavy is imported here, so that ``--help`` and a mistyped key answer at once.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf.errors import OmegaConfBaseException

from imcomp import __version__
from imcomp.errors import InputError
from imcomp.overrides import expand_resume, explain

if TYPE_CHECKING:
    from omegaconf import DictConfig


def train(cfg: "DictConfig") -> float:
    """Train; return the lowest value of the monitored metric, for sweeps."""
    from imcomp.report import report_run
    from imcomp.training import train as run_training

    metrics = run_training(cfg)
    report_run(metrics, Path(cfg.paths.output_dir))
    return metrics[cfg.monitor]


def predict(cfg: "DictConfig") -> None:
    """Complete pictures; exit code 1 where some could not be read."""
    from imcomp.data.pictures import read_picture
    from imcomp.inference import Completer
    from imcomp.prediction import find_inputs
    from imcomp.prediction import predict as run_prediction
    from imcomp.report import report_prediction

    output = Path(cfg.output)
    inputs = find_inputs(cfg.input)
    mask = read_picture(Path(cfg.mask)) if cfg.mask else None
    completer = Completer(cfg.ckpt, cfg.device)
    unreadable = run_prediction(completer, inputs, output, mask=mask, seed=cfg.seed, batch_size=cfg.batch_size)
    report_prediction(len(inputs.paths), unreadable, output)
    if unreadable:
        raise SystemExit(1)


def evaluate(cfg: "DictConfig") -> None:
    """Score a checkpoint and classical fills."""
    from imcomp.evaluation import evaluate as run_evaluation

    run_evaluation(cfg)


COMMANDS: dict[str, tuple[Callable[["DictConfig"], Any], str]] = {
    "train": (train, "train a network to fill holes"),
    "predict": (predict, "complete pictures with a trained network"),
    "evaluate": (evaluate, "score a network beside classical fills"),
}
"""Each command's function, which takes the composed config of the same name, and what it does."""


def main() -> None:
    """Dispatch ``imcomp COMMAND [group=option] [key=value] ...``."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in COMMANDS:
        del sys.argv[1]
        run(name)
    elif name in ("-h", "--help"):
        print("usage: imcomp COMMAND [group=option] [key=value] ...\n\ncommands:")
        for command, (_, purpose) in COMMANDS.items():
            print(f"  {command:10s}{purpose}")
        print("\n`imcomp COMMAND --help` lists its keys")
    elif name == "--version":
        print(f"imcomp {__version__}")
    else:
        print(f"error: unknown command {name!r}; choose from {', '.join(COMMANDS)}", file=sys.stderr)
        raise SystemExit(2)


def run(name: str) -> None:
    """Run a command on the overrides in ``sys.argv``; a user's mistake ends in one line and exit code 2.

    With ``HYDRA_FULL_ERROR=1`` in the environment, as everywhere in Hydra, it ends in a traceback.
    """
    task, _ = COMMANDS[name]
    guard = nullcontext if os.environ.get("HYDRA_FULL_ERROR") == "1" else partial(_one_line_errors, name)

    @wraps(task)
    def job(cfg: "DictConfig") -> Any:
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            return task(cfg)  # the sweeper is to see what went wrong with a job
        with guard():  # inside, before Hydra adds lines of its own
            return task(cfg)

    with guard():
        sys.argv[1:] = expand_resume(sys.argv[1:])
        hydra.main(config_path=str(config_dir()), config_name=name)(job)()


def config_dir() -> Path:
    """Find the config tree: ``conf/`` inside an installed package, or beside the package in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


@contextmanager
def _one_line_errors(name: str) -> Iterator[None]:
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises what it would otherwise print over several lines
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would complain while it exits
        raise SystemExit(141) from None  # as a shell reports a program that SIGPIPE ended
    except (InputError, HydraException, OmegaConfBaseException, OSError) as error:
        print(f"error: {explain(error, config_dir(), name)}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None
