"""A study in pictures: HTML pages, and TensorBoard's HParams."""

import logging
import shutil
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna import visualization
from optuna.trial import FrozenTrial, TrialState

from imcomp.files import atomic

log = logging.getLogger(__name__)


def write_plots(study: optuna.Study, names: Sequence[str], folder: Path) -> list[Path]:
    """Write what can be drawn of a study so far, a page each; they share ``plotly.min.js`` beside them.

    Args:
        study: it.
        names: of its objectives.
        folder: for the pages: `history`, `importance`, `parallel_coordinates`, `slice`, and `intermediate_values` or,
            of several objectives, `pareto_front`. Of several, the former show the first.

    Returns:
        The pages.
    """
    several = len(names) > 1
    first: dict[str, Any] = {"target_name": names[0]}
    if several:
        first["target"] = _first
    plots: dict[str, Callable[[optuna.Study], Any]] = {
        "history": partial(visualization.plot_optimization_history, **first),
        "importance": partial(visualization.plot_param_importances, **first),
        "parallel_coordinates": partial(visualization.plot_parallel_coordinate, **first),
        "slice": partial(visualization.plot_slice, **first),
    }
    if several:
        plots["pareto_front"] = partial(visualization.plot_pareto_front, target_names=[*names])
    else:
        plots["intermediate_values"] = visualization.plot_intermediate_values
    pages = []
    folder.mkdir(parents=True, exist_ok=True)
    for name, plot in plots.items():
        page = folder / f"{name}.html"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what Optuna calls experimental
                figure = plot(study)
        except (ValueError, RuntimeError) as error:  # too few trials, or all of one value
            log.debug("no plot of %s yet (%s)", name, error)
            page.unlink(missing_ok=True)
            continue
        with atomic(page) as beside:
            figure.write_html(beside, include_plotlyjs="directory")
        pages.append(page)
    return pages


def write_hparams(study: optuna.Study, names: Sequence[str], folder: Path) -> None:
    """Write each ended trial's parameters and values, or the last that it reported, for TensorBoard's HParams tab."""
    from torch.utils.tensorboard import SummaryWriter
    from torch.utils.tensorboard.summary import hparams

    shutil.rmtree(folder, ignore_errors=True)  # or each end of the sweep would add all trials once more
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)):
        values = trial.values or list(trial.intermediate_values.values())[-1:]
        metrics = {f"sweep/{name}": value for name, value in zip(names, values, strict=False)}
        with SummaryWriter(str(folder / f"trial_{trial.number}")) as writer:
            told = {**trial.params, "state": trial.state.name.lower()}
            for summary in hparams(told, metrics):  # type: ignore[no-untyped-call]
                writer.file_writer.add_summary(summary)
            for name, value in metrics.items():
                writer.add_scalar(name, value)


def _first(trial: FrozenTrial) -> float:
    return float(trial.values[0])
