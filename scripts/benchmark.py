"""Measure how quick imcomp is: ``python scripts/benchmark.py [key=value ...]``; ``--help`` lists the keys."""

from imcomp.cli import run

if __name__ == "__main__":
    run("benchmark")
