"""Pack pictures into shards: ``python scripts/pack.py [key=value ...]``; ``--help`` lists the keys."""

from imcomp.cli import run

if __name__ == "__main__":
    run("pack")
