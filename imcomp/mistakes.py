"""Mistakes on the command line, each worded in one line: what was got, what was expected, what to do."""

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from imcomp.errors import InputError, suggest
from imcomp.overrides import default_sweep, key_of

_SHOWN = 10  # keys in an error
_TO_ADD = " To add one that is not in the config, write +{}=..."
_SWEEPS = {"choice": "choice(a, b)", "range": "range(start, stop, step)", "interval": "interval(low, high)"}


def check_flags(arguments: list[str]) -> None:
    """Refuse a flag that Hydra has not, where its parser would print how Hydra is used, over many lines.

    Raises:
        InputError: an unknown flag, or a known one without what it takes.
    """
    parser = get_args_parser()

    def refuse(message: str) -> None:
        raise InputError(f"{message}; see --help")

    parser.error = refuse  # type: ignore[method-assign, assignment]
    _, unknown = parser.parse_known_args(arguments)
    if flag := next((argument for argument in unknown if argument.startswith("-")), None):
        key, _, value = flag.lstrip("-").partition("=")
        raise InputError(
            f"unknown flag {flag}; a key is given without dashes, as in {key}={value or 'true'}; see --help"
        )


def check_groups(arguments: list[str], config_dir: Path) -> None:
    """Refuse ``group=null``, which Hydra takes for a defect.

    Raises:
        InputError: a group without an option.
    """
    for argument in arguments:
        group, _, value = argument.partition("=")
        if value == "null" and (config_dir / group).is_dir():
            options = sorted(file.stem for file in (config_dir / group).glob("*.yaml") if file.stem != "base")
            raise InputError(f"{argument} names no option; choose from {', '.join(options)}, or leave it out")


def check_tags(arguments: list[str]) -> list[str]:
    """Refuse a tag of a sweep that no sweeper reads: the space would be another one than was asked for.

    Raises:
        InputError: a tag other than `log` of an interval.
    """
    for argument in arguments if {"-m", "--multirun"} & {*arguments} else ():
        try:
            override = OverridesParser.create().parse_override(argument)
        except HydraException:
            continue  # Hydra words it when its turn comes
        read = {"log"} if override.is_interval_sweep() else set()
        if unread := sorted(getattr(override.value(), "tags", set()) - read):
            way = "write tag(log, interval(low, high))"
            raise InputError(f"cannot search {argument}: the tag {unread[0]} says nothing here; {way}")
    return arguments


def explain(  # noqa: PLR0911  # one return a kind of mistake reads best
    error: Exception, config_dir: Path, name: str, arguments: Sequence[str] = ()
) -> str:
    """Word an error of Hydra's or the program's in one line: what was got, what was expected, what to do.

    Args:
        error: the error.
        config_dir: the config tree.
        name: the config's.
        arguments: the command line; the groups' options that it chooses decide on the keys there are.
    """
    text = str(error)
    arguments = default_sweep([*arguments]) if name == "train" else arguments
    if match := re.search(r"Could not override '(.+?)'", text):
        key, known = match[1], _known_keys(config_dir, name, arguments)
        known = [other for other in known if other.startswith("hydra.") == key.startswith("hydra.")]
        if key.startswith("hydra.sweeper.") and not any(key_of(argument) == "sweep" for argument in arguments):
            return f"{key} is no option of Hydra's own sweeper, which runs a grid; give sweep=optuna to search"
        if key not in known:
            return _unknown_key(key, known)
    if match := re.search(r"Could not find '(.+)/(.+?)'\n+Available options in '.*?':\n((?:\t.*\n)*)", text):
        group, option, listed = match.groups()
        choices = [choice for choice in listed.split() if choice != "base"]  # the part that the options share
        return f"{group}={option} is unknown; {suggest(option, choices)}"
    if match := re.search(r"^Error merging override (.*)", text):
        cause = str(error.__cause__ or "it does not fit").splitlines()[0]
        return f"{match[1]}: {cause[:1].lower()}{cause[1:]}"
    if match := re.search(r"Missing mandatory value: (?:.|\n)*full_key: (\S+)", text):
        return f"{match[1]} is not given; give {match[1]}=..."
    if "'hydra.sweeper' must be configured before the sweep starts" in text:
        return "the width to search differs from network to network; give sweep/width=none to sweep over networks"
    if match := re.search(r"Key '(\S+)' is not in struct", text):
        return f"{match[1]} is not in the config and is needed; give {match[1]}=..., or leave out ~{match[1]}"
    if isinstance(error, OSError) and error.strerror and error.filename:
        place = error.filename2 or error.filename  # where what was written beside is renamed, what it should become
        return f"{place}: {error.strerror[:1].lower()}{error.strerror[1:]}; give another path or mend it"
    return _explain_value(text) or " ".join(text.split())


def _explain_value(text: str) -> str | None:
    """Word why Hydra could not read an override; None where something else is wrong."""
    calls = r"string: (.*) out of \[.*\n.*\n\w+ while evaluating '(\w+)\(.*': (.*)(?:\n(Avail.*))?"
    if match := re.search(calls, text):
        argument, function, reason, available = match.groups()
        way = f"write {_SWEEPS.get(function, 'the value in quotes')}"
        if available:
            way = suggest(function, available.partition(": ")[2].split(","))
        elif "NoneType" in reason:
            reason, way = f"{function}(...) takes no null", f"write {key_of(argument)}=null,... without {function}(...)"
        return f"cannot read {argument!r} ({reason[:1].lower()}{reason[1:]}); {way}"
    if match := re.search(r"Error when parsing index: \d+, string: (.*) out of \[.*?\]\.\n(.*)", text):
        if not re.search("[=~]", match[1]):
            return f"cannot read {match[1]!r}; write key=value, such as {match[1]}=..."
        return f"cannot read {match[1]!r} ({match[2]}); quote the value: '{match[1].partition('=')[0]}=\"...\"'"
    return None


def check_keys(cfg: DictConfig, config_dir: Path, name: str) -> None:
    """Refuse a key at the top of a composed config that no command reads, as ``+lr=1e-3`` or an experiment adds it.

    Args:
        cfg: the config, without the node `hydra`.
        config_dir: the config tree.
        name: the primary config's.

    Raises:
        InputError: a key that the primary config has not.
    """
    primary: Any = OmegaConf.to_container(OmegaConf.load(config_dir / f"{name}.yaml"))
    known = {*primary, *(group for entry in primary["defaults"] if isinstance(entry, dict) for group in entry)}
    if unknown := [str(key) for key in cfg if key not in known]:
        paths = _paths(OmegaConf.to_container(cfg))
        raise InputError(_unknown_key(unknown[0], [path for path in paths if path.partition(".")[0] in known]))


def _unknown_key(key: str, known: Sequence[str]) -> str:
    """Word the way out of an unknown key; one without a group is first looked for in all groups."""
    group, _, _ = key.rpartition(".")
    near = get_close_matches(key, known, n=1, cutoff=0.6)
    if not group:
        names = {other.rpartition(".")[2] for other in known}
        alike = [key] if key in names else [] if near else get_close_matches(key, names, n=1, cutoff=0.6)
        near = [other for other in known if other.rpartition(".")[2] in alike] or near
    if near:
        return f"unknown key {key}; did you mean {' or '.join(near[:_SHOWN])}?" + (_TO_ADD.format(key) if group else "")
    beside = sorted(other for other in known if other.rpartition(".")[0] == group)
    choices = ", ".join(beside[:_SHOWN]) + ", ..." * (len(beside) > _SHOWN)
    return f"unknown key {key}; choose from {choices or 'those of --help'}." + (_TO_ADD.format(key) if group else "")


def _known_keys(config_dir: Path, name: str, arguments: Sequence[str]) -> list[str]:
    groups = [argument for argument in arguments if (config_dir / argument.partition("=")[0]).is_dir()]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_dir)):
        try:
            config = compose(name, groups, return_hydra_config=True)
        except HydraException:  # a group from --config-dir, say
            config = compose(name, return_hydra_config=True)
    return [*_paths(OmegaConf.to_container(config))]


def _paths(node: object, prefix: str = "") -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield f"{prefix}{key}"
            yield from _paths(value, f"{prefix}{key}.")
