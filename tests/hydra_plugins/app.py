"""A program of its own for the tests with several processes: its task sleeps, and returns how far x is from 0.25."""

import time

import hydra


@hydra.main(config_path=None, config_name="config")
def main(cfg):
    time.sleep(cfg.seconds)
    return (cfg.x - 0.25) ** 2


if __name__ == "__main__":
    main()
