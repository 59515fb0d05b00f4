"""One run in several processes: which of them this one is, how they start, and how they end together.

Process 0 alone reads the command line, runs Hydra and writes files. The others get the finished config from it: those
that it starts itself, or those that torchrun or srun started beside it. So nothing is composed, swept or written
twice.
"""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from pathlib import Path

import pytorch_lightning as pl
import torch.distributed as dist
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from pytorch_lightning.callbacks import Callback
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

from imcomp.errors import InputError

_PATIENCE = 10  # seconds in which a process that has lost another is to end by itself
_MODULE = "imcomp.follower"


@dataclass(frozen=True)
class Place:
    """Where a process stands among all of a run.

    Attributes:
        rank: its number, from 0.
        count: of processes in all.
        local_rank: its number among those of its machine, which is its device's.
        local_count: of processes on its machine.
        address: of the machine of process 0.
        port: where process 0 listens.
    """

    rank: int
    count: int
    local_rank: int
    local_count: int
    address: str
    port: int

    @property
    def node(self) -> int:
        """Its machine's number, from 0."""
        return self.rank // self.local_count

    def environment(self) -> dict[str, str]:
        """The variables by which torch finds the others."""
        return {
            "RANK": str(self.rank),
            "WORLD_SIZE": str(self.count),
            "LOCAL_RANK": str(self.local_rank),
            "LOCAL_WORLD_SIZE": str(self.local_count),
            "MASTER_ADDR": self.address,
            "MASTER_PORT": str(self.port),
        }


def find_place(environ: Mapping[str, str]) -> Place | None:
    """This process's place, as torchrun, srun or a process 0 of imcomp's says; None where it stands alone."""
    try:
        if "RANK" in environ and "LOCAL_WORLD_SIZE" in environ:
            rank, count = int(environ["RANK"]), int(environ["WORLD_SIZE"])
            local_rank, local_count = int(environ["LOCAL_RANK"]), int(environ["LOCAL_WORLD_SIZE"])
            address, port = environ["MASTER_ADDR"], int(environ["MASTER_PORT"])
        elif int(environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1:  # within srun, not in the batch script itself
            rank, count = int(environ["SLURM_PROCID"]), int(environ["SLURM_STEP_NUM_TASKS"])
            local_rank, local_count = (
                int(environ["SLURM_LOCALID"]),
                count // int(environ.get("SLURM_STEP_NUM_NODES", "1")),
            )
            address = SLURMEnvironment.resolve_root_node_address(environ.get("SLURM_STEP_NODELIST", "127.0.0.1"))
            # a number of the job's, the same in all its processes
            port = 15000 + int(environ["SLURM_JOB_ID"]) % 15000
        else:
            return None
    except (KeyError, ValueError) as error:
        raise InputError(
            f"the environment names this process's place among others only in part ({error});"
            " start with torchrun or srun, or unset RANK, LOCAL_WORLD_SIZE and SLURM_STEP_NUM_TASKS"
        ) from error
    return Place(rank, count, local_rank, local_count, address, port) if count > 1 else None


@cache
def given_place() -> Place | None:
    """`find_place`, asked once: each run's port goes into the environment too."""
    return find_place(dict(os.environ))


class Environment(ClusterEnvironment):
    """Tells Lightning the process's place; starts nothing itself.

    Args:
        place: None for process 0 of as many as the trainer then says.
    """

    def __init__(self, place: Place | None) -> None:
        super().__init__()
        self.place = place or Place(0, 1, 0, 1, "127.0.0.1", _free_port())
        self.alone = place is None
        """Whether nobody else has started the others."""

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return self.place.address

    @property
    def main_port(self) -> int:
        return self.place.port

    @staticmethod
    def detect() -> bool:
        return True

    def world_size(self) -> int:
        return self.place.count

    def set_world_size(self, size: int) -> None:
        if self.alone:
            self.place = Place(0, size, 0, size, self.place.address, self.place.port)

    def global_rank(self) -> int:
        return self.place.rank

    def set_global_rank(self, rank: int) -> None:
        pass

    def local_rank(self) -> int:
        return self.place.local_rank

    def node_rank(self) -> int:
        return self.place.node


class Company(Callback):
    """The processes of one run: started or called by process 0, and ended with it.

    A context: inside, the others run the same config. When one of them ends before its time, process 0 learns of it
    through the next sum over all and saves its state; where that does not come within seconds, this process ends.

    Args:
        environment: the trainer's.
        config: the config's text, for the others.
    """

    def __init__(self, environment: Environment, config: str) -> None:
        self.environment = environment
        self.config = config
        self.lost: str | None = None
        """Which of the others that were started here ended before its time, in words; known when all have ended."""
        self._children: list[subprocess.Popen[bytes]] = []
        self._ending = threading.Event()

    def __enter__(self) -> None:
        place = self.environment.place
        self._ending.clear()
        if place.count > 1 and place.rank == 0:
            if self.environment.alone:
                self._start(place)
            self.environment.place = replace(place, port=_free_port())
            _leave_word(place, json.dumps({"port": self.environment.place.port, "config": self.config}))

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._ending.set()
        if error is not None:
            time.sleep(0.5 * bool(self._children))  # a connection breaks before its process counts as ended
            self.lost = self._find_lost()
        if dist.is_available() and dist.is_initialized():
            with suppress(RuntimeError):  # where another is gone there is nothing to say goodbye to
                dist.destroy_process_group()
        end = time.monotonic() + _PATIENCE
        for child in self._children:
            try:
                child.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._children = []

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Note that this process is ending by itself."""
        self._ending.set()

    def _find_lost(self) -> str | None:
        for rank, child in enumerate(self._children, start=1):
            if code := child.poll():
                how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
                return f"process {rank} of {self.environment.place.count} {how}"
        return None

    def _start(self, place: Place) -> None:
        variables = {key: value for key, value in os.environ.items() if not key.startswith(("TORCHELASTIC", "SLURM_"))}
        path = os.pathsep.join(part or str(Path.cwd()) for part in sys.path)
        for rank in range(1, place.count):
            own = replace(place, rank=rank, local_rank=rank)
            self._children.append(
                subprocess.Popen(  # noqa: S603
                    [sys.executable, "-m", _MODULE, str(os.getpid())],
                    env={**variables, "PYTHONPATH": path, **own.environment()},
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C is for process 0, which ends the others
                )
            )
        threading.Thread(target=self._watch, daemon=True, name="watch-processes").start()

    def _watch(self) -> None:
        while not self._ending.wait(0.2):
            if (lost := self._find_lost()) is not None and not self._ending.wait(_PATIENCE):
                for child in self._children:
                    child.kill()
                sys.stderr.write(f"error: {lost}, and this run with it; go on with resume=PATH\n")
                sys.stderr.flush()
                os._exit(1)


def dismiss_others(place: Place) -> None:
    """Tell all other processes that there will be no further run."""
    _leave_word(place, "null")


def next_run(place: Place, number: int) -> tuple[Place, str] | None:
    """Wait for process 0's run of that number, from 0.

    Returns:
        This process's place in it, and its config; None where there will be none.

    Raises:
        RuntimeError: process 0 is gone.
    """
    store, key = _store(place), f"run/{number}"
    while not store.check([key]):
        time.sleep(0.1)
    word = json.loads(store.get(key))
    return (replace(place, port=word["port"]), word["config"]) if word else None


def watch_parent(parent: int) -> None:
    """End this process when the one that started it has ended."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="watch-parent").start()


_STORES: list[TCPStore] = []  # of process 0 or torchrun, where process 0 leaves word; kept, or it would close


def _leave_word(place: Place, word: str) -> None:
    store = _store(place)
    number = store.add("runs", 1) - 1
    store.set(f"run/{number}", word)


def _store(place: Place) -> PrefixStore:
    if not (_STORES and (_STORES[-1].host, _STORES[-1].port) == (place.address, place.port)):
        given = os.environ.pop("TORCHELASTIC_USE_AGENT_STORE", "") == "True"  # or torch would seek each run's there
        _STORES[:] = [
            TCPStore(
                place.address,
                place.port,
                is_master=place.rank == 0 and not given,
                wait_for_workers=False,
                multi_tenant=True,
                timeout=timedelta(seconds=120),
            )
        ]
    return PrefixStore("imcomp", _STORES[-1])


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("", 0))
        return int(listener.getsockname()[1])
