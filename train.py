"""Train a network to fill holes: ``python train.py [key=value ...]``; ``--help`` lists the keys."""

from imcomp.cli import run

if __name__ == "__main__":
    run("train")
