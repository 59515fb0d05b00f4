"""From a composed config to objects: types checked first, mistakes told in one line."""

import importlib
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from imcomp.errors import InputError, check_seed, suggest

TARGETS = ("imcomp.*", "pytorch_lightning.*", "optuna.pruners.*")
"""What a config may name in ``_target_``: a config file is data, and must not run any code it likes."""


def build(config: DictConfig, where: str, **objects: Any) -> Any:
    """Instantiate ``config._target_`` with the config's plain values and with ``objects``.

    Args:
        config: a node with ``_target_``.
        where: its place in the config, for the errors, such as `model`.
        objects: further keyword arguments, not from the config.

    Raises:
        InputError: a target that is not allowed, an unknown key, a value of the wrong type, or one that the target
            refuses.
    """
    # here, so that a command that builds nothing does not wait for Lightning
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    values = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(values, dict)
    for place, target in _nested_targets(values, where):
        _find_class(target, place)  # before any of them is imported by Hydra
    cls = _find_class(values.get("_target_"), where)
    check_arguments(cls, {str(key): value for key, value in values.items()}, where)
    try:
        return instantiate(config, **objects, _convert_="all", _execution_whitelist_=TARGETS)
    except (InstantiationException, MisconfigurationException, ValueError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        cause = error.__cause__ if isinstance(error, InstantiationException) and error.__cause__ else error
        line = " ".join(str(cause).partition("\nfull_key:")[0].split())  # the place is told by `where`
        told = isinstance(cause, InputError) or where in line
        raise InputError(line if told else f"{where}: {line}") from error


def check_options(config: DictConfig, where: str, registry: Mapping[str, Callable[..., Any]], selector: str) -> None:
    """Check the options that ``config._target_`` hands on to what it takes from a registry, such as its network.

    Args:
        config: a node; ``config[selector]`` is the registry's key.
        where: the node's place in the config, for the errors.
        registry: from names to classes.
        selector: the key that holds the name.

    Raises:
        InputError: an unknown name or key, or a value of the wrong type.
    """
    name = config.get(selector)
    if name not in registry:
        raise InputError(f"{where}.{selector}={name} is unknown; choose from {', '.join(sorted(registry))}")
    values = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(values, dict)
    own = {selector}
    if "_target_" in config:
        own |= inspect.signature(_signature_holder(_find_class(config._target_, where))).parameters.keys()
    check_arguments(registry[name], {str(key): value for key, value in values.items() if key not in own}, where)


def check_terms(config: DictConfig, where: str, registry: Mapping[str, Callable[..., Any]]) -> None:
    """Check a weighted sum: names, each with a weight, or with ``weight`` and what the registry's class takes.

    Args:
        config: the node.
        where: its place in the config, for the errors.
        registry: from names to classes.

    Raises:
        InputError: an unknown name or key, or a value of the wrong type.
    """
    terms: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    for name, given in terms.items():
        place = f"{where}.{name}"
        if name not in registry:
            raise InputError(f"{place} is unknown; choose from {', '.join(sorted(registry))}")
        options = given if isinstance(given, dict) else {"weight": given or 0.0}
        weight = options.get("weight", 1.0)
        if not fits(weight, float):
            raise InputError(f"{place}={weight} is a {type(weight).__name__}; expected a weight")
        own = {str(key): value for key, value in options.items() if key != "weight"}
        check_arguments(registry[name], own, place, also=["weight"])


def check_settings(config: Mapping[Any, Any], **hints: Any) -> None:
    """Check the keys that the program reads itself against types: ``check_settings(cfg, seed=int, init=str | None)``.

    Raises:
        InputError: a value of another type.
    """
    for key, hint in hints.items():
        if not fits(config[key], hint):
            raise InputError(f"{key}={config[key]} is a {type(config[key]).__name__}; expected {_words(hint)}")


def check_run(config: Mapping[Any, Any]) -> None:
    """Check what stands at the top of ``conf/train.yaml``.

    Raises:
        InputError: a value of another type, or a seed that is none.
    """
    texts = dict.fromkeys(("resume", "rerun", "init", "init_only", "tune"), str | None)
    check_settings(config, seed=int | None, monitor=str, test=bool, halve_on_oom=bool, objectives=list[str], **texts)
    seed = config["seed"]
    if seed is not None:
        check_seed("seed", seed, ", or null to draw one")


def check_arguments(cls: Callable[..., Any], values: Mapping[str, Any], where: str, also: Sequence[str] = ()) -> None:
    """Check values against the annotations of ``cls.__init__``; keys that start with an underscore are Hydra's.

    Args:
        cls: what takes them.
        values: by name.
        where: their place in the config, for the errors.
        also: further keys that stand there, to suggest.

    Raises:
        InputError: a key that is no argument, or a value whose type does not fit the annotation.
    """
    init = _signature_holder(cls)
    parameters = {name: value for name, value in inspect.signature(init).parameters.items() if name != "self"}
    hints = typing.get_type_hints(init)
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    known = [f"{where}.{name}" for name in (*parameters, *also)]
    for key, value in values.items():
        if key.startswith("_"):
            continue
        if key in parameters:
            if not fits(value, hints.get(key, Any)):
                raise InputError(f"{where}.{key}={value} is a {type(value).__name__}; expected {_words(hints[key])}")
        elif not takes_any:
            raise InputError(f"unknown key {where}.{key}; {suggest(f'{where}.{key}', known)}")


def _find_class(target: Any, where: str) -> type:
    if not isinstance(target, str) or not target.startswith(tuple(name.rstrip("*") for name in TARGETS)):
        raise InputError(f"{where}._target_={target} is not allowed; name a class of {' or '.join(TARGETS)}")
    module, _, name = target.rpartition(".")
    try:
        cls = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"{where}._target_={target} cannot be found ({error}); name an existing class") from error
    if not isinstance(cls, type):
        raise InputError(f"{where}._target_={target} is not a class; name a class of {' or '.join(TARGETS)}")
    return cls


def _nested_targets(value: Any, where: str) -> Iterator[tuple[str, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        place = f"{where}.{key}"
        if isinstance(item, dict) and "_target_" in item:
            yield place, item["_target_"]
        yield from _nested_targets(item, place)


def _signature_holder(cls: Callable[..., Any]) -> Callable[..., Any]:
    # Lightning's Trainer hides its signature behind a decorator
    return inspect.unwrap(cls.__init__) if isinstance(cls, type) else cls  # type: ignore[misc]


def fits(value: Any, hint: Any) -> bool:  # noqa: PLR0911  # one return a kind of annotation reads best
    """Tell whether a plain value (YAML's: None, bool, int, float, str, list, dict) fits a type annotation."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or isinstance(hint, (str, typing.TypeVar)):
        return True
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, argument) for argument in arguments)
    if origin is typing.Literal:
        return value in arguments
    if hint is None or hint is type(None):
        return value is None
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is Path:
        return isinstance(value, str)
    kind = origin or hint
    if not isinstance(kind, type):
        return True
    if issubclass(kind, Mapping):
        return isinstance(value, Mapping)
    if issubclass(kind, (Sequence, tuple)) and kind is not str:
        if not isinstance(value, Sequence) or isinstance(value, str):
            return False
        element = arguments[0] if arguments else Any
        return all(fits(item, element) for item in value)
    return isinstance(value, kind)


def _words(hint: Any) -> str:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(_words(argument) for argument in typing.get_args(hint))
    if hint is type(None):
        return "null"
    if typing.get_origin(hint) is typing.Literal:
        return " or ".join(map(str, typing.get_args(hint)))
    if typing.get_origin(hint) is Sequence:
        return f"list of {_words(typing.get_args(hint)[0])}"
    return getattr(hint, "__name__", str(hint)) if not typing.get_args(hint) else str(hint).replace("typing.", "")
