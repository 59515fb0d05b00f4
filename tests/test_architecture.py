"""Who may import whom: the arrows of docs/architecture.md."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "imcomp"

ARROWS = {
    "__init__": {"completing", "export", "inference"},
    # leaves
    "errors": set(),
    "files": set(),
    "box": set(),
    "batch": {"box"},
    "filling": {"box", "models"},
    "losses": {"losses"},
    "losses.*": {"losses"},
    "losses.perceptual": {"errors", "losses"},
    "losses.summed": {"box", "errors", "losses"},
    "schedules": {"errors"},
    "optimizers": {"errors", "perf"},
    "averaging": set(),
    "perf": {"errors"},
    "report": {"pretrained"},
    "data": set(),
    "data.progress": set(),
    "data.decoded": set(),
    "data.pictures": {"data.progress", "files"},
    "data.stored": {"data.pictures"},
    "data.seeds": set(),
    "data.ranges": {"data.seeds"},
    "data.rectangles": {"box", "data.ranges", "data.seeds"},
    "data.strokes": {"data.ranges", "data.seeds"},
    "data.mask_files": {"data.pictures", "data.seeds", "data.transforms", "errors"},
    "data.warps": {"box"},
    "data.light": set(),
    "data.degrade": {"data.transforms"},
    "data.crops": {"data.seeds"},
    "data.augment": {
        *("box", "data.degrade", "data.light", "data.ranges", "data.seeds", "data.warps", "errors"),
    },
    "data.masks": {"data.mask_files", "data.ranges", "data.rectangles", "data.seeds", "data.strokes"},
    "models": {"models"},
    "models.*": {"box", "models"},
    "scores": set(),
    "metrics": {"box", "losses", "scores"},
    "weights": {"errors", "pretrained", "weight_files"},
    "weight_files": {"errors", "files"},
    "pretrained": {"errors", "weight_files"},
    "model_card": {"errors"},
    "publishing": {
        *("data.masks", "data.synthetic", "data.transforms", "errors", "files", "filling", "inference"),
        *("model_card", "pretrained", "weight_files", "weights"),
    },
    "backends": {"box", "errors", "export.session", "export.writing"},
    "baselines": {"errors"},
    "data.signs.*": {"data.signs"},
    "data.datamodule": {"data", "batch", "box", "errors"},
    "data.*": {"data", "batch", "errors", "files"},
    "data.shards.*": {"data", "errors", "files"},
    "sharing": set(),
    "signals": set(),
    "processes": {"errors"},
    "endings": {"data.pictures", "module"},
    "machine": {"config", "errors", "optimizers", "perf", "processes"},
    "provenance": {"files"},
    "compare": {"config", "errors", "files", "provenance"},
    "follower": {"processes", "training"},
    "module": {
        "batch",
        "box",
        "errors",
        "filling",
        "losses",
        "metrics",
        "models",
        "optimizers",
        "schedules",
        "sharing",
    },
    "adversarial": {"batch", "errors", "losses", "models", "module"},
    "callbacks": {"batch", "errors", "files", "losses", "metrics", "models", "module"},
    "checkpoints": {"data.loading", "states"},
    "states": {"errors", "files", "weights"},
    "completing": set(),
    "completing.holes": {"box", "errors"},
    "completing.surfaces": {"box", "completing.holes", "data.pictures"},
    "completing.forms": {"box", "completing.holes", "completing.surfaces"},
    "completing.arrays": {"box", "completing.holes", "completing.surfaces", "errors"},
    "completing.views": {"box", "completing.holes", "errors"},
    "completing.resampling": {"box", "completing.holes", "completing.surfaces", "completing.views"},
    "completing.tiles": {"box", "completing.holes", "completing.surfaces", "completing.views"},
    "completing.engine": {"box", "completing", "errors"},
    "inference": {
        *(
            "__init__",
            "backends",
            "box",
            "completing",
            "data.masks",
            "data.rectangles",
            "data.transforms",
            "errors",
            "filling",
        ),
        *("models", "perf", "weights", "whole"),
    },
    "whole": {"box", "completing", "errors"},
    "prediction": {"prediction"},
    "prediction.inputs": {"data.pictures", "errors"},
    "prediction.holes": {"completing", "data.masks", "data.pictures", "data.stored", "errors", "prediction.inputs"},
    "prediction.journal": set(),
    "prediction.jobs": {"errors", "prediction"},
    "prediction.saving": {"errors", "files"},
    "prediction.sheets": {"box", "completing"},
    "prediction.contact": {"files", "prediction.journal", "prediction.sheets"},
    "prediction.running": {
        *(
            "completing",
            "data.masks",
            "data.pictures",
            "data.stored",
            "errors",
            "files",
            "__init__",
            "prediction",
            "scores",
        ),
    },
    "prediction.command": {
        *("data.masks", "data.pictures", "data.stored", "errors", "__init__", "prediction", "pretrained", "report"),
    },
    "perception": {"errors", "metrics"},
    "evaluation": set(),
    "evaluation.agreement": {"errors"},
    "evaluation.curves": {"errors", "evaluation", "files", "scores"},
    "evaluation.document": set(),
    "evaluation.entrants": {"baselines", "batch", "data.loading", "errors", "filling", "inference"},
    "evaluation.gallery": {"batch", "data", "evaluation", "metrics"},
    "evaluation.listing": {"evaluation", "files"},
    "evaluation.report": {"evaluation", "model_card"},
    "evaluation.running": {
        *("baselines", "config", "data", "errors", "evaluation", "files", "inference", "perception", "pretrained"),
    },
    "evaluation.scoring": {"batch", "data", "errors", "evaluation", "metrics", "scores"},
    "evaluation.statistics": {"scores"},
    "config": {"errors"},
    "packing": {"config", "data", "errors"},
    "sweeps": set(),
    "sweeps.trial": set(),
    "sweeps.objectives": {"batch", "errors", "module"},
    "sweeps.space": {"config", "errors", "sweeps.objectives", "training"},
    "sweeps.*": {"files", "report", "sweeps"},
    "training": {
        "batch",
        "callbacks",
        "checkpoints",
        "config",
        "data",
        "endings",
        "errors",
        "files",
        "losses",
        "machine",
        "metrics",
        "models",
        "module",
        "perf",
        "processes",
        "provenance",
        "report",
        "seeding",
        "sharing",
        "signals",
        "starting",
        "states",
        "sweeps.objectives",
        "weights",
    },
    "seeding": {"errors", "weights"},
    "starting": {"errors", "models", "module", "weights"},
    "finetuning": {"box", "errors", "models", "module"},
    "pretraining": {"config", "errors", "files", "models", "overrides", "states", "training", "weights"},
    "tuning": {
        "config",
        "data",
        "errors",
        "files",
        "machine",
        "module",
        "processes",
        "seeding",
        "starting",
        "training",
    },
    "benchmark.protocol": {"data.pictures", "data.synthetic", "errors"},
    "benchmark.reference": {"errors", "models"},
    "benchmark.rivals": {"baselines", "benchmark", "models"},
    "benchmark.stopwatch": {"batch", "benchmark", "files", "losses", "module"},
    "benchmark.configs": {"benchmark", "config", "data", "errors", "packing", "training"},
    "benchmark.running": {"benchmark", "errors", "files", "inference"},
    "benchmark": set(),
    "benchmark.machine": {"benchmark", "data.loading"},
    "benchmark.*": {"benchmark", "errors", "files"},
    "benchmark.suites.*": {"benchmark", "errors", "inference", "prediction"},
    "benchmark.suites.quality": {"baselines", "benchmark", "errors"},
    "export": set(),
    "export.session": {"errors"},
    "export.metadata": {"__init__", "errors"},
    "export.completer": {"__init__", "box", "completing", "data.masks", "errors", "export", "inference"},
    "export.program": {"filling"},
    "export.writing": {"errors"},
    "export.parity": {"errors", "export"},
    "export.running": {"errors", "export", "files", "inference"},
    "app": set(),
    "app.settings": {"errors"},
    "app.pictures": {"completing", "errors"},
    "app.networks": {"__init__", "errors"},
    "app.components": {"app.pictures", "errors"},
    "app.completing": {"app", "errors"},
    "app.page": {"app", "errors"},
    "app.serving": {"app", "errors", "pretrained"},
    "overrides": {"errors"},
    "mistakes": {"errors", "overrides"},
    "cli": {
        *("__init__", "app", "benchmark", "compare", "config", "data", "errors", "evaluation", "export"),
        *("follower", "inference", "mistakes", "overrides", "prediction", "pretrained", "processes"),
        "publishing",
        *("packing", "pretraining", "report", "sweeps.objectives", "training", "tuning"),
    },
}
"""What each file may import of the package; a package stands for all that is in it, ``*`` for its files."""

CONFIGURED = {
    "benchmark.configs",
    "cli",
    "compare",
    "config",
    "evaluation.running",
    "follower",
    "machine",
    "mistakes",
    "overrides",
    "packing",
    "pretraining",
    "sweeps.devices",
    "sweeps.space",
    "sweeps.summary",
    "training",
    "tuning",
}
"""The only files that know Hydra and OmegaConf."""

LONGEST = 400
"""Lines a file."""


def module_name(file):
    return ".".join(file.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


FILES = {module_name(file): file for file in sorted(PACKAGE.rglob("*.py"))}
every_module = pytest.mark.parametrize("name", FILES)


def imports(name):
    """All dotted names that a file imports, wherever in it: of the package without its own name."""
    found = set()
    for node in ast.walk(ast.parse(FILES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide from this test"
            # `from imcomp.data import masks` imports a module, `from imcomp.batch import Batch` a name in one
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner.removeprefix("imcomp.") in FILES else node.module)
    return found


def own_imports(name):
    return {
        imported.partition(".")[2] or "__init__" for imported in imports(name) if imported.partition(".")[0] == "imcomp"
    }


def allowed(name):
    """The most exact line of the table."""
    parent = name.rpartition(".")[0]
    return ARROWS[name] if name in ARROWS else ARROWS[f"{parent}.*"]


@every_module
def test_every_file_is_in_the_table(name):
    assert name in ARROWS or f"{name.rpartition('.')[0]}.*" in ARROWS, f"say in ARROWS what {name} may import"


def test_the_table_has_no_file_that_is_gone():
    assert {name for name in ARROWS if not name.endswith("*")} <= FILES.keys()


@every_module
def test_arrows(name):
    rooms = allowed(name)
    strays = {
        imported
        for imported in own_imports(name)
        if not any(imported == room or imported.startswith(f"{room}.") for room in rooms)
    }
    assert strays == set()


@every_module
def test_hydra_stays_at_the_edge(name):
    tops = {imported.partition(".")[0] for imported in imports(name)}
    assert name in CONFIGURED or not tops & {"hydra", "omegaconf"}


@pytest.mark.parametrize("name", [name for name in FILES if name == "models" or name.startswith("models.")])
def test_networks_need_torch_alone(name):
    tops = {imported.partition(".")[0] for imported in imports(name)}
    assert tops - set(sys.stdlib_module_names) <= {"imcomp", "torch"}


def test_completing_pictures_needs_no_torch():
    script = "import sys, imcomp.completing.engine; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "torch" not in loaded.stdout.split()


def test_no_cycle():
    graph = {name: own_imports(name) - {name} for name in FILES if name != "__init__"}
    assert len([*TopologicalSorter(graph).static_order()]) >= len(graph)  # raises CycleError


@every_module
def test_every_file_says_what_it_is_for_and_is_short(name):
    text = FILES[name].read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text))
    assert len(text.splitlines()) <= LONGEST


def test_the_command_line_starts_light():
    script = "import sys, imcomp.cli, imcomp.report; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    heavy = {"torch", "pytorch_lightning", "torchvision", "torchmetrics", "PIL", "numpy", "optuna"}
    assert heavy & set(loaded.stdout.split()) == set()
