"""Compare checkpoints: ``python scripts/evaluate.py ckpt=PATH [key=value ...]``; ``--help`` lists the keys."""

from imcomp.cli import run

if __name__ == "__main__":
    run("evaluate")
