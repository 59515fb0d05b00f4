"""A look at a search space and at the study it belongs to, before the first trial."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import optuna
from omegaconf import DictConfig, open_dict
from optuna.distributions import BaseDistribution, CategoricalDistribution, check_distribution_compatibility
from optuna.study import StudyDirection

from imcomp.config import build, check_run
from imcomp.errors import InputError
from imcomp.sweeps.objectives import HIGHER_IS_BETTER
from imcomp.training import check

MAY_CHANGE = (
    *("hydra.", "hydra/", "+hydra.", "paths.", "data.root=", "data.num_workers=", "data.cache", "logger="),
    *("trainer=", "trainer.accelerator=", "trainer.devices="),
)
"""How overrides begin that a study may be gone on with when they are others."""


def check_space(
    study: optuna.Study,
    searched: Mapping[str, BaseDistribution],
    fixed: Sequence[str],
    compose: Callable[[dict[str, Any]], DictConfig],
) -> None:
    """Check the configs at the bounds of a space as a run would, and that the study was begun with the same settings.

    Args:
        study: it remembers the settings of its first start, and its objectives for the trials.
        searched: the space, by key.
        fixed: the other overrides.
        compose: from a trial's parameters to its config.

    Raises:
        InputError: a value that some part of the config does not take; objectives that the study would make worse; or
            values that would not compare. A study that has not begun yet is then removed, so that the corrected
            command finds none with the directions of the mistaken one.
    """
    begun = bool(study.user_attrs or study.trials)
    try:
        _check(study, searched, fixed, compose, begun=begun)
    except Exception:
        if not begun:
            with suppress(KeyError):  # another start made the same mistake
                optuna.delete_study(study_name=study.study_name, storage=study._storage)  # noqa: SLF001
        raise


def _check(
    study: optuna.Study,
    searched: Mapping[str, BaseDistribution],
    fixed: Sequence[str],
    compose: Callable[[dict[str, Any]], DictConfig],
    *,
    begun: bool,
) -> None:
    for params in corners(searched):
        cfg = compose(params)
        with open_dict(cfg):
            del cfg["hydra"]
            cfg.paths.output_dir = cfg.paths.outputs  # a trial's own is not known yet, and nothing is written
        check_run(cfg)
        check(cfg)
        for key, node in cfg.callbacks.items():
            if node:
                build(node, f"callbacks.{key}")
        if len(cfg.objectives) != len(study.directions):
            raise InputError(
                f"objectives={list(cfg.objectives)} are {len(cfg.objectives)}, the study has {len(study.directions)}"
                " directions; give hydra.sweeper.direction=[minimize,...] with one for each"
                + ", with another hydra.sweeper.study_name"
                * begun
            )
        _check_directions(cfg.objectives, study, begun=begun)
    settings = sorted(override for override in fixed if not override.startswith(MAY_CHANGE))
    before = study.user_attrs.get("settings", settings)
    if changed := sorted({*before} ^ {*settings}) or different_choices(study, searched):
        raise InputError(
            f"the study {study.study_name} was begun with other settings ({', '.join(changed)}), whose values do not"
            " compare; give another hydra.sweeper.study_name"
        )
    study.set_user_attr("settings", settings)
    study.set_user_attr("objectives", [*cfg.objectives])


def _check_directions(objectives: Sequence[str], study: optuna.Study, *, begun: bool) -> None:
    better = [StudyDirection.MAXIMIZE if name in HIGHER_IS_BETTER else StudyDirection.MINIMIZE for name in objectives]
    if better != study.directions:
        is_now, to_be = (
            text if len(objectives) == 1 else f"[{text}]"
            for text in (",".join(one.name.lower() for one in directions) for directions in (study.directions, better))
        )
        raise InputError(
            f"the study {study.study_name} would {is_now} objectives={list(objectives)}; give"
            f" hydra.sweeper.direction={to_be}" + ", with another hydra.sweeper.study_name" * begun
        )


def corners(searched: Mapping[str, BaseDistribution]) -> Iterator[dict[str, Any]]:
    """Yield parameters that between them hold every choice and both bounds of every range."""
    values: dict[str, Any] = {
        key: space.choices if isinstance(space, CategoricalDistribution) else (space.low, space.high)  # type: ignore[attr-defined]
        for key, space in searched.items()
    }
    for index in range(max(map(len, values.values()))):
        yield {key: choices[index % len(choices)] for key, choices in values.items()}


def different_choices(study: optuna.Study, searched: Mapping[str, BaseDistribution]) -> list[str]:
    """Keys whose choices are not those of the study's trials; a range may be widened or narrowed."""
    keys = set()
    for trial in study.get_trials(deepcopy=False):
        for key in trial.distributions.keys() & searched.keys():
            try:
                check_distribution_compatibility(trial.distributions[key], searched[key])
            except ValueError:
                keys.add(key)
    return sorted(keys)
