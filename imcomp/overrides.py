"""What stands on the command line: going on with an earlier run, and wording Hydra's errors in one line."""

import re
from collections.abc import Iterator
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from imcomp.errors import InputError, suggest


def expand_resume(arguments: list[str]) -> list[str]:
    """Replace ``resume=PATH|last`` by all that the earlier run was started with.

    The run goes on in its own folder with its own overrides; those given now come on top. A checkpoint that lies in no
    run's folder is resumed in a new one, with what is given now.

    Args:
        arguments: the command line after the program's name.

    Raises:
        InputError: nothing to resume there.
    """
    given = [argument for argument in arguments if argument.startswith("resume=")]
    value = given[-1].partition("=")[2] if given else "null"
    if value in ("null", "") or any(flag in arguments for flag in ("-m", "--multirun")):
        return arguments
    checkpoint = _last_checkpoint(value, arguments)
    rest = [argument for argument in arguments if argument not in given]
    stored_file = checkpoint.parent.parent / ".hydra" / "overrides.yaml"
    if not stored_file.is_file():
        return [*rest, f"resume='{checkpoint}'"]
    stored = [str(override) for override in OmegaConf.load(stored_file)]
    replaced = {_key(argument) for argument in rest if "=" in argument} | {"resume", "init"}
    kept = [override for override in stored if _key(override) not in replaced]
    return [*kept, *rest, f"resume='{checkpoint}'", f"hydra.run.dir='{checkpoint.parent.parent}'"]


def _last_checkpoint(value: str, arguments: list[str]) -> Path:
    if value == "last":
        outputs = [argument.partition("=")[2] for argument in arguments if argument.startswith("paths.outputs=")]
        path = Path(outputs[-1] if outputs else "outputs") / "latest"
        if not path.exists():
            raise InputError(f"resume=last: there is no last run at {path}; give resume=PATH of a run's folder")
    else:
        path = Path(value.strip("'\""))
    if path.is_dir():
        path = path / "checkpoints" / "last.ckpt"
    if not path.is_file():
        raise InputError(f"resume={value}: no checkpoint {path}; give a run's folder or a .ckpt file")
    return path.resolve()


def _key(argument: str) -> str:
    return argument.partition("=")[0].lstrip("+~").partition("@")[0]


def explain(error: Exception, config_dir: Path, name: str) -> str:
    """Word an error of Hydra's or the program's in one line: what was got, what was expected, what to do."""
    text = str(error)
    if match := re.search(r"Could not override '(.+?)'", text):
        key, known = match[1], _known_keys(config_dir, name)
        if key not in known:
            return f"unknown key {key}; {suggest(key, known)} To add one that is not in the config, write +{key}=..."
    if match := re.search(r"Could not find '(.+)/(.+?)'\n+Available options in '.*?':\n((?:\t.*\n)*)", text):
        group, option, listed = match.groups()
        choices = [choice for choice in listed.split() if choice != "base"]  # the part that the options share
        return f"{group}={option} is unknown; {suggest(option, choices)}"
    if match := re.search(r"Missing mandatory value: (\S+)", text):
        return f"{match[1]} is not given; give {match[1]}=..."
    if match := re.search(r"Error when parsing index: \d+, string: (.*) out of \[.*?\]\.\n(.*)", text):
        return f"cannot read {match[1]!r} ({match[2]}); quote the value: '{match[1].partition('=')[0]}=\"...\"'"
    return " ".join(text.split())


def _known_keys(config_dir: Path, name: str) -> list[str]:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_dir)):
        return [*_paths(OmegaConf.to_container(compose(name)))]


def _paths(node: object, prefix: str = "") -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield f"{prefix}{key}"
            yield from _paths(value, f"{prefix}{key}.")
