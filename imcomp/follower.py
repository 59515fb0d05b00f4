"""What all processes of a run but the first do: wait for its config and run that. Hydra is not asked again."""

import logging
import sys
import warnings

from omegaconf import DictConfig, OmegaConf
from optuna import TrialPruned

from imcomp.processes import Place, given_place, next_run, watch_parent
from imcomp.training import train


def follow(place: Place, *, runs: int | None = None) -> None:
    """Run whatever process 0 runs, until there is no more, or ``runs`` of them.

    Only process 0 speaks, logs and writes files; here, errors alone are printed.

    Raises:
        SystemExit: a signal ended a run, or process 0 is gone.
    """
    logging.basicConfig(format=f"[process {place.rank}] %(message)s", level=logging.ERROR)
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    number = 0
    while number != runs:
        try:
            run = next_run(place, number)
        except RuntimeError:
            raise SystemExit(1) from None  # process 0 has said why
        if run is None:
            return
        config = OmegaConf.create(run[1])
        assert isinstance(config, DictConfig)
        try:
            train(config, run[0])
        except Exception as error:  # noqa: BLE001  # whatever it is, the next run may go well
            if not isinstance(error, TrialPruned):
                logging.getLogger(__name__).error("error: %s", error)  # noqa: TRY400  # process 0 has the traceback
            if runs is not None:
                raise SystemExit(1) from None
        number += 1


def main() -> None:
    """Follow the process that started this one, in one run: ``python -m imcomp.follower PID``."""
    watch_parent(int(sys.argv[1]))
    place = given_place()
    assert place is not None
    follow(place, runs=1)


if __name__ == "__main__":
    main()
