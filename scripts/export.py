"""Write a network to a file that runs without imcomp: ``python scripts/export.py ckpt=PATH [key=value ...]``."""

from imcomp.cli import run

if __name__ == "__main__":
    run("export")
