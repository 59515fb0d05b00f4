"""What stands on the command line, as Hydra is to read it: earlier runs that are gone on with, and shorter keys."""

import hashlib
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import OmegaConf
from yaml import YAMLError  # of the PyYAML that OmegaConf reads with

from imcomp.errors import InputError

FIRST_STAGE = "pretrain"
"""The folder, in a run's own, of a first stage; until that has ended, the run has no checkpoint but there."""


def expand_resume(arguments: list[str]) -> list[str]:
    """Replace ``resume=PATH|last`` by all that the earlier run was started with.

    The run goes on in its own folder with its own overrides; those given now come on top. A checkpoint that lies in no
    run's folder is resumed in a new one, with what is given now. With ``resume=auto`` the folder is fixed instead, and
    the run finds its state there.

    Args:
        arguments: the command line after the program's name.

    Raises:
        InputError: nothing to resume there.
    """
    given = [argument for argument in arguments if argument.startswith("resume=")]
    value = _value(given[-1]) if given else ""
    if value == "auto":
        return [*arguments, *_fixed_folder(arguments, os.environ)]
    if not value or any(flag in arguments for flag in ("-m", "--multirun")):
        return arguments
    checkpoint = _last_checkpoint(value, arguments)
    rest = [argument for argument in arguments if argument not in given]
    for folder in checkpoint.parents[1:3]:  # a stage's folder lies in the run's
        if (stored := _stored(folder)) is not None:
            kept = _kept(stored, rest, without={"resume", "rerun", "init"})
            return [*kept, *rest, f"resume={_quoted(checkpoint)}", f"hydra.run.dir={_quoted(folder)}"]
    return [*rest, f"resume={_quoted(checkpoint)}"]


def expand_rerun(arguments: list[str]) -> list[str]:
    """Replace ``rerun=PATH|last`` by all that the earlier run was started with; what is given now comes on top.

    The run begins anew, in a folder of its own.

    Raises:
        InputError: no run there, or one that another program than the command line started.
    """
    given = [argument for argument in arguments if argument.startswith("rerun=")]
    value = _value(given[-1]) if given else ""
    if not value:
        return arguments
    folder = _latest(arguments) if value == "last" else Path(value)
    stored = _stored(folder)
    if stored is None:
        raise InputError(f"rerun={value}: {folder} tells no command (no .hydra/overrides.yaml); give a run's folder")
    rest = [argument for argument in arguments if argument not in given]
    kept = _kept(stored, rest, without={"resume", "rerun", "paths.output_dir"})
    return [*kept, *rest, f"rerun={_quoted(folder.resolve())}"]


def _stored(folder: Path) -> list[str] | None:
    """The overrides that a run was started with; None where it tells none."""
    file = folder / ".hydra" / "overrides.yaml"
    if not file.is_file():
        return None
    try:
        stored = OmegaConf.load(file)
        reason = "" if OmegaConf.is_list(stored) else "it is no list"
    except (ValueError, YAMLError) as error:
        reason = " ".join(str(error).split())
    if reason:
        raise InputError(f"{file} is damaged ({reason}); mend it, or give another run or a copy of its .ckpt file")
    return [str(override) for override in stored]


def _kept(stored: list[str], given: list[str], without: set[str]) -> list[str]:
    """Those of the stored overrides that the given ones leave standing."""
    replaced = {key_of(argument) for argument in given if "=" in argument or argument.startswith("~")}
    changed = {argument.partition("=")[0] for argument in given}  # what is added then may be changed now: +a=1, a=2
    return [
        override
        for override in stored
        if key_of(override) not in without
        and (key_of(override) not in replaced or (override.startswith("+") and key_of(override) in changed))
    ]


def runs_as_list(arguments: list[str]) -> list[str]:
    """Read arguments without a key as folders: ``A B`` as ``runs=[A,B]``."""
    folders = [argument for argument in arguments if "=" not in argument and not argument.startswith("-")]
    rest = [argument for argument in arguments if argument not in folders]
    return [*rest, f"runs=[{','.join(_quoted(Path(folder)) for folder in folders)}]"] if folders else arguments


def _fixed_folder(arguments: list[str], environ: Mapping[str, str]) -> list[str]:
    """The folder of a command that is repeated: as given, or else named by the SLURM job or by the command itself."""
    several = any(flag in arguments for flag in ("-m", "--multirun"))
    key = "hydra.sweep.dir" if several else "hydra.run.dir"
    if any(key_of(argument) in (key, "paths.output_dir") for argument in arguments):
        return []
    job = environ.get("SLURM_JOB_ID")
    if (array := environ.get("SLURM_ARRAY_JOB_ID")) and (task := environ.get("SLURM_ARRAY_TASK_ID")):
        job = f"{array}_{task}"
    # the order of overrides counts: the last one of a key wins
    name = f"slurm-{job}" if job else f"auto-{hashlib.sha256(chr(0).join(arguments).encode()).hexdigest()[:12]}"
    return [f"{key}=${{paths.outputs}}/{'multirun' if several else 'train'}/{name}"]


def stored_command(checkpoint: Path) -> str | None:
    """The command that started the run whose folder holds a checkpoint; None where that is not known.

    Folders of that machine are left out, or named `PATH` where the command needs one.
    """
    stored = _stored(checkpoint.parent.parent)
    if stored is None:
        return None
    words = ["python train.py"]
    for override in stored:
        key = key_of(override)
        if key.startswith(("paths.", "hydra.", "resume", "rerun", "data.cache")):
            continue
        local = key in ("data.root", "mask.root", "init") and "/" in override
        words.append(f"{override.partition('=')[0]}=PATH" if local else shlex.quote(override))
    return " ".join(words)


def add_loss_terms(arguments: list[str]) -> list[str]:
    """Read ``loss.NAME=WEIGHT`` as ``++loss.NAME.weight=WEIGHT``: Hydra would refuse a part that is not there yet."""
    weighed = [re.sub(r"^loss\.(\w+)=(?!{)", r"loss.\1.weight=", argument) for argument in arguments]
    return [re.sub(r"^loss\.", "++loss.", argument) for argument in weighed]


def default_sweep(arguments: list[str]) -> list[str]:
    """Read ``-m`` as ``-m sweep=optuna``, unless the command line names a sweep or a grid of values, as in `a=1,2`.

    Args:
        arguments: the command line after the program's name.
    """
    if not any(flag in arguments for flag in ("-m", "--multirun")):
        return arguments
    overrides = [argument for argument in arguments if "=" in argument and not argument.startswith("-")]
    kinds = {_sweep_kind(override) for override in overrides}
    named = any(key_of(override) in {"sweep", "hydra/sweeper"} for override in overrides)
    return arguments if named or ("grid" in kinds and "interval" not in kinds) else [*arguments, "sweep=optuna"]


_VERBATIM = ("ckpt", "input", "output", "mask.file", "mask.color")


def prediction_arguments(arguments: list[str]) -> list[str]:
    """Read what people type for files: ``mask=FILE`` as ``mask.file=FILE``, for Hydra would look for a group's option.

    Names are taken as they stand, with brackets, commas, blanks and line ends, unless they are quoted as Hydra quotes
    or a list; ``input=A,B`` is a list where no file is called so. ``--dry`` is ``dry=true``.
    """
    arguments = [re.sub(r"^mask=", "mask.file=", argument) for argument in arguments]
    arguments = [re.sub(r"^mask\.options", "++mask.options", argument) for argument in arguments]
    return ["dry=true" if argument == "--dry" else _verbatim(argument) for argument in arguments]


def _verbatim(argument: str) -> str:
    key, given, value = argument.partition("=")
    if not given or key not in _VERBATIM or value in ("", "null", "???"):
        return argument
    if not Path(value).exists():
        if (value[0], value[-1]) in {("[", "]"), ('"', '"'), ("'", "'")}:
            return argument
        if key == "input" and "," in value and not any(sign in value for sign in "*?["):
            return f"input=[{','.join(_as_value(name) for name in value.split(','))}]"
        if "${" in value:
            return argument
    return f"{key}={_as_value(value)}"


def _as_value(text: str) -> str:
    """Quoted for Hydra, and for OmegaConf, which would look up what stands in ``${...}``."""
    quoted: str = QuotedString(text.replace("${", "\\${"), Quote.single).with_quotes()
    return quoted


def suites_as_list(arguments: list[str]) -> list[str]:
    """Read ``suite=A,B`` as ``suite=[A,B]``, unless ``-m`` makes a sweep of it; Hydra would refuse the comma."""
    if any(flag in arguments for flag in ("-m", "--multirun")):
        return arguments
    return [re.sub(r"^suite=([^\['\"]*,.*)$", r"suite=[\1]", argument) for argument in arguments]


def _last_checkpoint(value: str, arguments: list[str]) -> Path:
    if value == "last":
        path = _latest(arguments)
        if not path.exists():
            raise InputError(f"resume=last: there is no last run at {path}; give resume=PATH of a run's folder")
    else:
        path = Path(value)
    if path.is_dir():
        own, stage = (folder / "checkpoints" / "last.ckpt" for folder in (path, path / FIRST_STAGE))
        path = own if own.parent.is_dir() or not stage.parent.is_dir() else stage
    if path.suffix == ".safetensors":
        raise InputError(f"resume={value}: weights alone cannot be resumed; start a new run from them, init={value}")
    if not path.is_file() and not path.with_name("previous.ckpt").is_file():
        raise InputError(f"resume={value}: no checkpoint {path}; give a run's folder or a .ckpt file")
    return path.resolve()


def _latest(arguments: list[str]) -> Path:
    outputs = [_value(argument) for argument in arguments if argument.startswith("paths.outputs=")]
    return Path(outputs[-1] if outputs else "outputs") / "latest"


def _sweep_kind(argument: str) -> str:
    """`grid` for values one by one, `interval` for a continuous range, and nothing for one value."""
    try:
        override = OverridesParser.create().parse_override(argument)
    except HydraException:
        return ""  # Hydra words it when its turn comes
    return ("grid" if override.is_discrete_sweep() else "interval") if override.is_sweep_override() else ""


def key_of(argument: str) -> str:
    """The key that an override is of, without what it does to it (`+`, `~`) and without a package."""
    return argument.partition("=")[0].lstrip("+~").partition("@")[0]


def _value(argument: str) -> str:
    """What Hydra makes of the value, which may be quoted; empty for null."""
    raw = argument.partition("=")[2]
    try:
        value = OverridesParser.create().parse_override(argument).value()
    except HydraException:
        return raw  # Hydra words it when its turn comes
    return "" if value is None else value if isinstance(value, str) else raw


def _quoted(path: Path) -> str:
    quoted: str = QuotedString(str(path), Quote.single).with_quotes()
    return quoted
