"""Every command of README and documentation works as it stands, on tiny pictures."""

import json
import os
import re
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from imcomp import pretrained
from imcomp.overrides import default_sweep
from tests.docs.commands import ROOT, collect, scripts
from tests.docs.conftest import SMALL

if sys.version_info >= (3, 11):
    import tomllib

COMMANDS = collect()

STANDS_FOR = {
    r"\bckpt=PATH\b": "ckpt=best.ckpt",
    r"(experiment=photos\b.*)\binit=FIRST\b": r"\1init=photos-fast",
    r"\bcheck_val_every_n_epoch=\d+": "check_val_every_n_epoch=1",
    r"=PATH\b": "=PICTURES",
    r"\bdata_root=PICTURES\b": "data_root=data",
    r"outputs/train/(\d{4}-[\d_-]+|TIME)": "outputs/latest",
}
"""What a page writes for the reader's own, and what it is here."""

ELSEWHERE = {
    r"^torchrun|trainer=ddp|trainer=fsdp": "tests/test_processes.py trains in several processes",
    r"^tensorboard|optuna-dashboard": "a program of its own, which serves until it is stopped",
    r"^aws|s3://|gs://|postgresql://": "needs a server: tests/data/shards and tests/hydra_plugins start some",
    r"hydra/launcher=": "tests/test_clusters.py and tests/hydra_plugins try the launchers",
    r"^imcomp app": "tests/app starts it",
    r"data\.part=test": "downloads the official test signs",
    r"benchmark\.py": "tests/benchmark runs every suite",
    r"compare_pruning\.py": "sweeps on GTSRB for 21 minutes, or reports what it left",
    r"lpips\.weights=|fid\.weights=": "needs weights from elsewhere: tests/test_perception.py makes some",
    r"plan_billion.*--measure": "packs a thousand photographs; tests/test_billion_page.py checks the rest",
    r"publish\.py": "needs an evaluation and a card of the reader's own: tests/test_publishing.py has them",
}
"""Commands that are not typed here, and who else tries them or why nobody can."""


WEIGHTS = ("gtsrb-autoencoder", "gtsrb-fast", "photos-fast")
"""Published names; a command with one that this version does not ship waits for it."""


def elsewhere(line):
    return next((reason for pattern, reason in ELSEWHERE.items() if re.search(pattern, line)), None)


def typed(command):
    """The words of a command with what a test has for the reader's own."""
    line = command.line
    for pattern, text in STANDS_FOR.items():
        line = re.sub(pattern, text, line)
    return command._replace(line=line).words


@pytest.fixture(scope="session")
def typist(workspace):
    """Types a command in the workspace; returns its exit code and what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "120"}
    environment["IMCOMP_CACHE"] = str(workspace / "cache")
    process = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("typist.py")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip

    def type_in(words):
        log = workspace / "log.txt"
        process.stdin.write(json.dumps({"argv": words, "folder": str(workspace), "log": str(log)}) + "\n")
        process.stdin.flush()
        return int(process.stdout.readline()), log.read_text(encoding="utf-8", errors="replace")

    code, said = type_in(["train.py", *SMALL, "logger=default"])
    assert code == 0, said
    run = (workspace / "outputs" / "latest").resolve()
    for name in ("best.ckpt", "A.ckpt", "B.ckpt"):
        shutil.copy(run / "checkpoints" / "best.ckpt", workspace / name)
    for name in ("A", "B", "outputs/train/A", "outputs/train/B"):
        shutil.copytree(run, workspace / name)
    yield type_in
    process.stdin.close()
    process.wait()


def arguments(words):
    """A command as the arguments of Python, with what makes it small."""
    script, given = (words[1], words[2:]) if words[0] == "python" else (words[0], words[1:])
    goes_on = any(one.startswith(("resume=", "rerun=")) for one in given)  # a run that is small already
    if (script == "train.py" or given[:1] == ["train"]) and not goes_on and "--help" not in given:
        given = [*given, *SMALL]
        if any("pretrain" in one for one in given):
            given += ["trainer.max_epochs=2", "pretrain.epochs=1", "pretrain.frozen_epochs=1"]
        if "-m" in given and any(one.startswith("sweep=") for one in default_sweep(given)):
            study = zlib.crc32(" ".join(given).encode())
            given += ["hydra.sweeper.n_trials=2", f"hydra.sweeper.study_name=s{study}"]
    return [script, *given]


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: f"{command.page}: {command.line[:60]}")
def test_a_command(command, typist):
    if reason := elsewhere(command.line):
        pytest.skip(reason)
    missing = {name for name in WEIGHTS if name in command.line} - {*pretrained.names()}
    if missing:
        pytest.skip(f"not published yet: {', '.join(sorted(missing))}")
    words = typed(command)
    if words[0] == "make":
        made = subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stderr
    elif words[:2] == ["pip", "install"]:
        assert_extras_exist(words[2:])
    else:
        assert words[0] in {"python", "imcomp"}, f"say in ELSEWHERE who tries {command.line}"
        code, said = typist(arguments(words))
        assert code == 0, said


def assert_extras_exist(names):
    if sys.version_info < (3, 11):
        pytest.skip("tomllib is new in Python 3.11")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for name in names:
        found = re.fullmatch(r"(?:\.|imcomp)(?:\[(?P<extras>[\w,]+)\])?", name)
        assert found, f"{name} is neither the checkout nor imcomp"
        assert set((found["extras"] or "").split(",")) - {""} <= extras.keys()


def test_scripts_of_several_lines_are_few_and_known():
    """Each is run as a whole by the test of its subject."""
    assert {page for page, _ in scripts()} <= {"app.md", "clusters.md", "scaling.md", "sweeps.md", "losses.md"}
