"""Put two runs side by side: ``python scripts/compare.py RUN RUN [output=FILE.md]``; ``--help`` lists the keys."""

from imcomp.cli import run

if __name__ == "__main__":
    run("compare")
