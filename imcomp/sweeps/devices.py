"""A device for each worker of a sweep on one machine."""

import os
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig


class OneDeviceEach(Callback):
    """Shows each of a sweep's workers one of the GPUs that its machine has for it, in turn; Hydra calls it."""

    def on_job_start(self, config: DictConfig, **_: Any) -> None:
        """Claim a device when the job is a worker, which comes before its trials, and CUDA is not yet awake."""
        if config.hydra.sweep.subdir == "workers" and config.hydra.sweeper.n_jobs > 1:
            claim_device(config.hydra.job.num)


def claim_device(worker: int) -> None:
    """Set ``CUDA_VISIBLE_DEVICES`` to one of those in it, or of all the machine has."""
    import torch  # late: Hydra builds this before it is known whether there is anything to run

    every = ",".join(map(str, range(torch.cuda.device_count())))
    devices = (os.environ.get("CUDA_VISIBLE_DEVICES") or every).split(",")
    if devices != [""]:
        os.environ["CUDA_VISIBLE_DEVICES"] = devices[worker % len(devices)]
