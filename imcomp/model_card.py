"""Model cards: what published weights are, what they were trained on, how well they do and where they fail."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imcomp.errors import InputError

NOTES: Mapping[str, str] = {
    "purpose": "what the weights are for, in one line",
    "data": "the pictures: which, how many, from where, under which terms",
    "protocol": "how they were trained: split, holes, loss, schedule, augmentation",
    "hardware": "what they were trained on",
    "failures": "where they fail, as known",
    "command": "what was typed",
    "time": "how long it took",
}
"""What a card says that only a person, or the run's folder, knows."""

# each score's name for people, and how many decimals it is worth
_METRICS = {
    "mse": ("MSE", 5),
    "mae": ("MAE", 4),
    "psnr": ("PSNR, dB", 2),
    "ssim": ("SSIM", 4),
    "accuracy": ("accuracy", 4),
}


def check_notes(notes: Any) -> dict[str, str]:
    """Check that all of ``NOTES`` is there, as texts.

    Raises:
        InputError: something is missing, empty, unknown or no text.
    """
    if not isinstance(notes, dict):
        raise InputError(f"the card's notes are a {type(notes).__name__}; give {', '.join(NOTES)} as YAML keys")
    for key in notes:
        if key not in NOTES:
            raise InputError(f"the card's notes have an unknown key {key!r}; choose from {', '.join(NOTES)}")
    for key, meaning in NOTES.items():
        if not str(notes.get(key) or "").strip():
            raise InputError(f"the card's notes have no {key!r} ({meaning}); add it: a card leaves nothing out")
    if "\n" in str(notes["purpose"]).strip():
        raise InputError("the card's purpose has several lines; give one, which `imcomp list` shows")
    return {key: str(notes[key]).strip() for key in NOTES}


def read_evaluations(files: Sequence[Path], checkpoint: str | Path) -> list[dict[str, Any]]:
    """Read evaluations' ``metrics.json``: what each evaluated, the checkpoint's scores, and those of classical fills.

    Raises:
        InputError: no such file, not an evaluation's, or one of other checkpoints.
    """
    return [_read_evaluation(file, checkpoint) for file in files]


def write_card(name: str, facts: Mapping[str, Any], notes: Mapping[str, str], kept: str, scored: Sequence[Any]) -> str:
    """Word a model card in Markdown.

    Args:
        name: of the weights.
        facts: what ``read_metadata`` returns.
        notes: see ``NOTES``.
        kept: how the weights are kept, and what that costs.
        scored: what `read_evaluations` returns.
    """
    options, data = facts["hyper_parameters"], facts["datamodule_hyper_parameters"]
    pictures = f"{'grey' if options['in_channels'] == 1 else 'colour'}, {data['size']}x{data['size']}"
    rows = [
        ("", ""),
        ("network", f"`{options['network']}`, {facts['parameters']:,} parameters"),
        ("pictures", pictures),
        ("holes", describe_mask(data["mask"])),
        ("weights", kept),
    ]
    parts = [
        f"# {name}",
        notes["purpose"],
        f"```sh\npython predict.py ckpt={name} input=PICTURES output=completed\n```",
        "\n".join(f"| {key} | {value} |" if key else "| | |\n|---|---|" for key, value in rows),
        f"## Data\n\n{notes['data']}",
        f"## Training\n\n{notes['protocol']}",
        f"```sh\n{notes['command']}\n```",
        f"{notes['time']}, on {notes['hardware']}.",
    ]
    if scored:
        parts.append("## Scores\n\nOver the hole, with 95% bootstrap intervals; see docs/evaluation.md.")
    parts += [_table(evaluation) for evaluation in scored]
    parts.append(f"## Known failures\n\n{notes['failures']}")
    return "\n\n".join(parts) + "\n"


def _read_evaluation(file: Path, checkpoint: str | Path) -> dict[str, Any]:
    try:
        evaluation = json.loads(file.read_text(encoding="utf-8"))
        entrants = evaluation["entrants"].values()
        own = [one for one in entrants if one["ckpt"] and Path(one["ckpt"]).resolve() == Path(checkpoint).resolve()]
        others = {name: one for name, one in evaluation["entrants"].items() if one["kind"] == "classical"}
        pictures = evaluation["pictures"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{file} is not the metrics.json of an evaluation ({error}); give one") from error
    if not own:
        raise InputError(f"{file} is an evaluation of other checkpoints than {checkpoint}; give one of this")
    name = "**these weights**" + (", self-ensemble" if own[0].get("self_ensemble") else "")
    return {"pictures": pictures, "entrants": {name: own[0], **others}}


def _table(evaluation: Mapping[str, Any]) -> str:
    pictures, entrants = evaluation["pictures"], evaluation["entrants"]
    split = f", {pictures['split']} split, seed {pictures['seed']}" if pictures.get("split") else ""
    few = f" brought to {side}x{side}" if (side := pictures.get("resolution")) else ""
    what = (
        f"{pictures['count']:,} pictures of {pictures['source']}{few}, {pictures['part']}{split},"
        f" holes {describe_mask(pictures['mask'])}:"
    )
    metrics = [key for key in _METRICS if all(key in one["scores"] for one in entrants.values())]
    lines = [f"| | {' | '.join(_METRICS[key][0] for key in metrics)} |", f"|---|{'---|' * len(metrics)}"]
    for name, one in entrants.items():
        lines.append(f"| {name} | {' | '.join(_interval(one['scores'][key], _METRICS[key][1]) for key in metrics)} |")
    return f"{what}\n\n" + "\n".join(lines)


def _interval(score: Mapping[str, float | None], decimals: int) -> str:
    mean, low, high = ("–" if value is None else f"{value:.{decimals}f}" for value in map(score.get, _PARTS))
    return mean if "–" in (mean, low, high) else f"{mean} ({low} to {high})"


_PARTS = ("mean", "low", "high")


def describe_mask(mask: Mapping[str, Any]) -> str:
    """Word a hole's options, such as `center (size 40)`."""
    options = ", ".join(f"{key} {value}" for key, value in mask.items() if key != "name" and value is not None)
    return f"{mask['name']} ({options})" if options else str(mask["name"])
