"""Optuna studies through Hydra's ``--multirun``: trials that are pruned, resumed, survived and spread."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any


def open_storage(name: str) -> Any:
    """Open what a study is kept in, for the sweep and its jobs alike: a database by its URL, else a journal's file."""
    from filelock import FileLock  # late: Hydra imports this package at every start
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    if "://" not in name:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        # let go by the kernel when its holder is killed; Optuna's own lock would then stay for half a minute
        return JournalStorage(JournalFileBackend(name, lock_obj=FileLock(f"{name}.lock")))  # type: ignore[arg-type]
    if name.startswith("postgresql://") and find_spec("psycopg2") is None:
        name = name.replace("postgresql", "postgresql+psycopg", 1)
    return RDBStorage(name, engine_kwargs={"pool_pre_ping": True})
