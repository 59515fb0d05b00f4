"""Complete pictures: ``python predict.py ckpt=PATH input=FILE|FOLDER|GLOB``; ``--help`` lists the keys."""

from imcomp.cli import run

if __name__ == "__main__":
    run("predict")
