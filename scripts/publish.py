"""Publish weights: ``python scripts/publish.py ckpt=PATH name=NAME card=FILE``; ``--help`` lists the keys."""

from imcomp.cli import run

if __name__ == "__main__":
    run("publish")
