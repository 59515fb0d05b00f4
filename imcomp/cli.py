"""The command line: ``imcomp train``, and what ``train.py`` and its like call.

Nothing heavy is imported here, so that ``--help`` and a mistyped key answer at once.
"""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf.errors import OmegaConfBaseException

from imcomp import __version__
from imcomp.errors import InputError, RunEnded
from imcomp.mistakes import check_flags, check_groups, check_keys, check_tags, explain
from imcomp.overrides import (
    add_loss_terms,
    default_sweep,
    expand_rerun,
    expand_resume,
    prediction_arguments,
    runs_as_list,
    stored_command,
    suites_as_list,
)

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger(__name__)


def train(cfg: "DictConfig") -> float | list[float]:
    """Train; return what a sweep improves: the lowest value of the monitored metric, unless `objectives` says else.

    With ``tune``, nothing is trained, and what was found is returned.
    """
    from lightning_fabric.utilities.rank_zero import rank_zero_only

    from imcomp.config import check_run
    from imcomp.report import report_run
    from imcomp.sweeps.objectives import choose
    from imcomp.training import train as run_training

    check_run(cfg)
    if cfg.tune:
        return _tune(cfg)
    if cfg.pretrain:
        from imcomp.pretraining import pretrain

        metrics = pretrain(cfg)
    else:
        metrics = run_training(cfg)
    trial = cfg.callbacks.get("trial")
    if trial is None or trial.number is None:  # of a study's trials the sweeper says enough
        rank_zero_only(report_run)(metrics, Path(cfg.paths.output_dir))  # one of several processes speaks
    return choose(metrics, cfg.objectives)


def _tune(cfg: "DictConfig") -> float:
    from imcomp.report import report_tuning
    from imcomp.tuning import FINDERS

    if cfg.tune not in FINDERS:
        raise InputError(f"tune={cfg.tune} is unknown; choose from {', '.join(FINDERS)}")
    if cfg.resume:
        raise InputError("tune= looks at a run that has not begun; leave resume= out")
    key, find = FINDERS[cfg.tune]
    value = find(cfg)
    report_tuning(key, value, [argument for argument in sys.argv[1:] if not argument.startswith("tune=")])
    return value


def predict(cfg: "DictConfig") -> None:
    """Complete pictures; exit code 1 where some were left out or have no partner."""
    from omegaconf import OmegaConf

    from imcomp.config import check_settings
    from imcomp.prediction.command import MaskSettings, Settings, run_prediction
    from imcomp.pretrained import choose_checkpoint

    options: Any = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    mask, paths = options.pop("mask"), options.pop("paths")
    check_settings(options, **get_type_hints(Settings))
    hints = {f"mask.{key}": hint for key, hint in get_type_hints(MaskSettings).items()}
    check_settings({f"mask.{key}": value for key, value in mask.items()}, **hints)
    checkpoint = choose_checkpoint(options["ckpt"], Path(paths["outputs"]))
    log.info("completing with %s", checkpoint)
    kinds = {name: partial(_mask_options, name) for name in _mask_names()}
    if not run_prediction(Settings(**{**options, "ckpt": checkpoint}), MaskSettings(**mask), kinds):
        raise SystemExit(1)


def _mask_names() -> list[str]:
    return sorted(file.stem for file in (config_dir() / "mask").glob("*.yaml"))


def _mask_options(name: str) -> dict[str, Any]:
    """An option of the group ``mask``, as plain values; what must be given stays out."""
    from hydra import compose
    from omegaconf import OmegaConf

    composed = compose(f"mask/{name}")
    node = composed.mask if "mask" in composed else composed
    options: Any = OmegaConf.to_container(node)
    return {key: value for key, value in options.items() if value != "???"}


def evaluate(cfg: "DictConfig") -> None:
    """Compare checkpoints and classical fills."""
    from imcomp.evaluation.running import evaluate as run_evaluation

    run_evaluation(cfg)


def publish(cfg: "DictConfig") -> None:
    """Make a checkpoint a file of weights and a model card."""
    from omegaconf import OmegaConf
    from yaml import YAMLError  # of the PyYAML that OmegaConf reads with

    from imcomp.config import check_settings
    from imcomp.pretrained import choose_checkpoint
    from imcomp.publishing import publish as run_publishing
    from imcomp.publishing import run_notes
    from imcomp.report import report_publication

    check_settings(cfg, ckpt=str, name=str, card=str, evaluations=list, output=str)
    try:
        notes: Any = OmegaConf.to_container(OmegaConf.load(cfg.card))
    except (ValueError, YAMLError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"card={cfg.card} is not YAML ({reason}); give a file of keys and texts") from error
    checkpoint = Path(choose_checkpoint(cfg.ckpt, Path(cfg.paths.outputs)))
    if isinstance(notes, dict):
        notes = {**run_notes(checkpoint, stored_command(checkpoint)), **notes}
    evaluations = [Path(file) for file in cfg.evaluations]
    published = run_publishing(checkpoint, cfg.name, notes, Path(cfg.output), evaluations=evaluations)
    report_publication(published.weights, published.card, published.dtype, published.difference)


def export(cfg: "DictConfig") -> None:
    """Write a network to a file that runs without imcomp."""
    from imcomp.config import check_settings
    from imcomp.export.running import export as run_export
    from imcomp.pretrained import choose_checkpoint
    from imcomp.report import report_export

    check_settings(cfg, ckpt=str | None, format=str, output=str | None, opset=int)
    output = None if cfg.output is None else Path(cfg.output)
    exported = run_export(
        choose_checkpoint(cfg.ckpt, Path(cfg.paths.outputs)), output, format=cfg.format, opset=cfg.opset
    )
    report_export(exported.path, exported.difference)


def benchmark(cfg: "DictConfig") -> None:
    """Measure how quick imcomp is; exit code 1 where something could not be measured."""
    from omegaconf import OmegaConf

    from imcomp.benchmark.running import Settings
    from imcomp.benchmark.running import benchmark as run_benchmark
    from imcomp.config import check_settings

    options: Any = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    options |= {"output_dir": options.pop("paths")["output_dir"]}
    check_settings(options, **get_type_hints(Settings))
    if not run_benchmark(Settings(**options), config_dir()):
        raise SystemExit(1)


def pack(cfg: "DictConfig") -> None:
    """Pack pictures into shards, or check them."""
    from imcomp.packing import pack_as_configured

    pack_as_configured(cfg)


def compare(cfg: "DictConfig") -> None:
    """Put two runs side by side."""
    from imcomp.compare import compare as compare_runs
    from imcomp.compare import print_sections, write_sections
    from imcomp.config import check_settings

    check_settings(cfg, runs=Sequence[str], output=str | None, curves=Sequence[str] | None)
    if len(cfg.runs) != 2:
        raise InputError(f"{len(cfg.runs)} runs to compare; give two runs' folders")
    one, other = cfg.runs
    sections = compare_runs(one, other, curves=cfg.curves)
    if cfg.output:
        write_sections(sections, Path(cfg.output))
    print_sections(sections)


def app(cfg: "DictConfig") -> None:
    """Serve the web app until Ctrl-C."""
    from omegaconf import OmegaConf

    from imcomp.app.serving import choose_checkpoints, serve
    from imcomp.app.settings import Settings
    from imcomp.config import check_settings

    options: Any = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    outputs = Path(options.pop("paths")["outputs"])
    check_settings(options, **get_type_hints(Settings) | {"ckpts": Sequence[str] | str | None})
    serve(Settings(**options | {"ckpts": choose_checkpoints(options["ckpts"], outputs)}))


COMMANDS: dict[str, tuple[Callable[["DictConfig"], Any], str]] = {
    "train": (train, "train a network to fill holes"),
    "predict": (predict, "complete pictures with a trained network"),
    "evaluate": (evaluate, "compare networks and classical fills, with a report"),
    "publish": (publish, "make a checkpoint a small file of weights, with a model card"),
    "pack": (pack, "pack pictures into shards to stream from, or check such shards"),
    "app": (app, "complete pictures in the browser"),
    "export": (export, "write a network to a file that runs without imcomp"),
    "benchmark": (benchmark, "measure how quick it is, beside a reference loop"),
    "compare": (compare, "put two runs side by side"),
}
"""Each command's function, which takes the composed config of the same name, and what it does."""

REWRITES: dict[str, Callable[[list[str]], list[str]]] = {
    "train": lambda arguments: default_sweep(check_tags(add_loss_terms(expand_resume(expand_rerun(arguments))))),
    "predict": prediction_arguments,
    "benchmark": suites_as_list,
    "compare": runs_as_list,
}
"""What a command does to its arguments before Hydra sees them."""

HYDRA_TARGETS = ("imcomp.*", "colorlog.*", "logging.*")
"""What Hydra itself may build for a config: its callbacks, and how it logs."""


def main() -> None:
    """Dispatch ``imcomp COMMAND [group=option] [key=value] ...``."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in COMMANDS:
        del sys.argv[1]
        run(name)
    elif name == "list":
        list_weights()
    elif name in ("-h", "--help"):
        print("usage: imcomp COMMAND [group=option] [key=value] ...\n\ncommands:")
        for command, (_, purpose) in COMMANDS.items():
            print(f"  {command:10s}{purpose}")
        print("  list      show the published weights, to be used by name")
        print("\n`imcomp COMMAND --help` lists its keys")
    elif name == "--version":
        print(f"imcomp {__version__}")
    else:
        print(f"error: unknown command {name!r}; choose from {', '.join([*COMMANDS, 'list'])}", file=sys.stderr)
        raise SystemExit(2)


def list_weights() -> None:
    """Print what weights the package brings along."""
    from imcomp.pretrained import describe, names
    from imcomp.report import report_published

    with _one_line_errors("list"):
        report_published([describe(name) for name in names()])


def run(name: str) -> None:
    """Run a command on the overrides in ``sys.argv``; a user's mistake ends in one line and exit code 2.

    With ``HYDRA_FULL_ERROR=1`` in the environment, as everywhere in Hydra, it ends in a traceback.
    """
    task, _ = COMMANDS[name]
    guard = nullcontext if os.environ.get("HYDRA_FULL_ERROR") == "1" else partial(_one_line_errors, name)

    @wraps(task)
    def job(cfg: "DictConfig") -> Any:
        several = HydraConfig.get().mode == RunMode.MULTIRUN  # the sweeper is to see what went wrong with a job
        with nullcontext() if several else guard():  # inside, before Hydra adds lines of its own
            check_keys(cfg, config_dir(), name)
            return task(cfg)

    with guard(), _among_others(name) as leads:
        if not leads:
            return
        rewrite = REWRITES.get(name, list)
        sys.argv[1:] = rewrite(sys.argv[1:])
        check_flags(sys.argv[1:])
        check_groups(sys.argv[1:], config_dir())
        hydra.main(config_path=str(config_dir()), config_name=name, execution_whitelist=HYDRA_TARGETS)(job)()


def config_dir() -> Path:
    """Find the config tree: ``conf/`` inside an installed package, or beside the package in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


@contextmanager
def _among_others(name: str) -> Iterator[bool]:
    """Tell whether to go on: of the processes that torchrun or srun started, the first alone asks Hydra."""
    if name != "train" or not {"RANK", "SLURM_STEP_NUM_TASKS"} & os.environ.keys():
        yield True
        return
    from imcomp.processes import dismiss_others, given_place

    place = given_place()
    if place is None:
        yield True
    elif place.rank > 0:
        from imcomp.follower import follow

        follow(place)
        yield False
    else:
        yield True
        dismiss_others(place)


@contextmanager
def _one_line_errors(name: str) -> Iterator[None]:
    arguments = sys.argv[1:]
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises what it would otherwise print over several lines
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would complain while it exits
        raise SystemExit(141) from None  # as a shell reports a program that SIGPIPE ended
    except (InputError, HydraException, OmegaConfBaseException, OSError) as error:
        print(f"error: {explain(error, config_dir(), name, arguments)}", file=sys.stderr)
        raise SystemExit(2) from None
    except RunEnded as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    finally:
        if before is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before
