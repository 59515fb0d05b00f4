"""Many rounds of it, and their figures: ``python -m tests.faults.run rounds=50 [subjects=training,caching] [publish]``.

``publish`` writes docs/reliability/faults.json, where other subjects' figures stay, and the table of
docs/reliability.md.
"""

import json
import os
import platform
import re
import shutil
import sys
import tempfile
from dataclasses import asdict
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: a fork takes no threads along

import pytorch_lightning as pl
import torch

from imcomp.files import write_text
from tests.faults.harness import run_rounds
from tests.faults.subjects import SUBJECTS

_DOCS = Path(__file__).parents[2] / "docs"
_FIGURES = _DOCS / "reliability" / "faults.json"
_PAGE = _DOCS / "reliability.md"


def main(arguments: list[str]) -> int:
    """Run, report, publish; 1 where a round differed."""
    publish = "publish" in arguments
    options = {"rounds": "50", "seed": "0", "subjects": ",".join(SUBJECTS)}
    for argument in arguments:
        key, _, value = argument.partition("=")
        if argument != "publish" and key not in options:
            print(f"error: {argument} is unknown; give rounds=N, seed=N, subjects=A,B or publish", file=sys.stderr)
            return 2
        options |= {key: value} if key in options else {}
    names = options["subjects"].split(",")
    if strange := [name for name in names if name not in SUBJECTS]:
        print(f"error: subject {strange[0]} is unknown; choose from {', '.join(SUBJECTS)}", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    differing = 0
    for name in names:
        folder = tempfile.mkdtemp(prefix="imcomp-faults.")
        print(f"{name}, in {folder}", flush=True)
        outcome = run_rounds(
            *(SUBJECTS[name], Path(folder) / "rounds", int(options["rounds"]), int(options["seed"])),
            lambda line: print(line, flush=True),
        )
        if outcome.equal == outcome.rounds:
            shutil.rmtree(folder)
        print(json.dumps(asdict(outcome)), flush=True)
        differing += outcome.rounds - outcome.equal
        if publish:
            _publish(asdict(outcome))
    return 1 if differing else 0


def _publish(outcome: dict[str, object]) -> None:
    kept = json.loads(_FIGURES.read_text()) if _FIGURES.is_file() else {"outcomes": []}
    others = [other for other in kept["outcomes"] if other["subject"] != outcome["subject"]]
    order = [*SUBJECTS]
    figures = {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "versions": {"torch": torch.__version__, "pytorch-lightning": pl.__version__, "imcomp": version("imcomp")},
        "outcomes": sorted([*others, outcome], key=lambda one: order.index(str(one["subject"]))),
    }
    write_text(_FIGURES, json.dumps(figures, indent=2) + "\n")
    write_text(_PAGE, with_table(_PAGE.read_text(encoding="utf-8"), figures))


def with_table(page: str, figures: dict[str, object]) -> str:
    """The page with its table anew, between the two marks."""
    lines = ["| subject | what is killed | takes undisturbed | rounds | kills | equal |", "|---|---|---|---|---|---|"]
    for one in figures["outcomes"]:
        cells = ("subject", "command", "seconds", "rounds", "kills", "equal")
        subject, command, seconds, rounds, kills, equal = (one[cell] for cell in cells)
        lines.append(f"| {subject} | {command} | {seconds} s | {rounds} | {kills} | {equal} |")
    lines += ["", f"On {figures['date']}, {figures['machine']}, torch {figures['versions']['torch']}."]
    table = "<!-- faults -->\n" + "\n".join(lines) + "\n<!-- /faults -->"
    new, count = re.subn(r"<!-- faults -->.*?<!-- /faults -->", lambda _: table, page, flags=re.DOTALL)
    assert count == 1, "the page has no place for the table"
    return new


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
