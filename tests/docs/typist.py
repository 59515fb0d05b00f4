"""Types commands in forked copies of one process that has imported everything: each then takes a second, not ten.

Reads one JSON object a line, ``{"argv": [...], "folder": PATH, "log": PATH}``, and answers each with its exit code.
"""

import importlib
import json
import os
import runpy
import sys
import traceback
from pathlib import Path


def type_in(argv, folder, log):
    """Run ``python ARGV``, or ``imcomp ...``, in a child; return its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        os.chdir(folder)
        with Path(log).open("w", encoding="utf-8") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        sys.argv = list(argv)
        if argv[0] == "imcomp":
            importlib.import_module("imcomp.cli").main()
        else:
            sys.path[0] = str(Path(argv[0]).resolve().parent)  # as Python itself does
            runpy.run_path(str(Path(argv[0]).absolute()), run_name="__main__")
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:  # noqa: BLE001  # whatever it was, the child must not go on as its parent
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


if __name__ == "__main__":
    for name in ("hydra", "tensorboard", "torchvision", "imcomp.prediction", "imcomp.training", "imcomp.evaluation"):
        importlib.import_module(name)
    importlib.import_module("torch").set_num_threads(1)
    for line in sys.stdin:
        print(type_in(**json.loads(line)), flush=True)
