"""The packing of a run's pictures as the config says: which, into what, and whether what is packed is whole."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from imcomp.data.datamodule import InpaintingDataModule
from imcomp.data.loading import count_cores
from imcomp.data.shards.checking import find_faults
from imcomp.data.shards.jobs import Packing
from imcomp.data.shards.manifest import FORMS, PARTS, Manifest
from imcomp.data.shards.packing import pack
from imcomp.data.shards.reading import read_manifest
from imcomp.data.shards.store import ShardStore
from imcomp.data.shards.transport import is_remote
from imcomp.errors import InputError

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger(__name__)

LARGEST_MB = 2000
"""Of a shard: LitData's offsets are of 32 bits."""


def pack_as_configured(cfg: "DictConfig") -> Manifest:
    """Pack ``cfg.data`` into ``cfg.output``, or check what ``cfg.verify`` holds; see ``conf/pack.yaml``.

    Returns:
        What was packed or checked.

    Raises:
        InputError: a mistake in the config or the data, or a shard that is not as it was packed.
    """
    # here, so that a manifest can be read without Hydra
    from omegaconf import OmegaConf

    from imcomp.config import build, check_options, check_settings
    from imcomp.data.sources import SOURCES

    check_settings(cfg, verify=str | None, output=str | None, form=str, shard_mb=float, workers=int | str)
    check_settings(cfg, endpoint=str | None, anonymous=bool)
    workers = _count(cfg.workers)
    if cfg.verify is not None:
        return _verify(cfg.verify, cfg, workers)
    if cfg.output is None:
        raise InputError("output is not given; give output=FOLDER to pack into, or verify=FOLDER to check one")
    if "://" in cfg.output:
        raise InputError(f"output={cfg.output} is no folder; pack into one, and copy it there")
    if cfg.form not in FORMS:
        raise InputError(f"form={cfg.form} is unknown; choose from {', '.join(FORMS)}")
    if not 0 < cfg.shard_mb <= LARGEST_MB:
        raise InputError(f"shard_mb={cfg.shard_mb:g} is out of range; give more than 0 and at most {LARGEST_MB}")
    check_options(cfg.data, "data", SOURCES, "source")
    if cfg.data.source == "stream":
        raise InputError("data=stream is packed already; give the source it was packed from")
    datamodule: InpaintingDataModule = build(cfg.data, "data", mask={"name": "center", "size": 1})
    datamodule.setup("predict")  # open and split, and decode nothing
    assert datamodule.source is not None
    assert datamodule.split is not None
    rate = getattr(datamodule.source, "rate", None)
    if rate is not None and any(rate(index) != 1 for index in datamodule.split.train):
        raise InputError("data.sources: a shard's pictures all come once in an epoch; leave out weight")
    options: Any = OmegaConf.to_container(cfg.data, resolve=True)
    packing = Packing(
        source=datamodule.source,
        name=datamodule.source_name,
        split=datamodule.split,
        split_options={key: options[key] for key in ("split", "val_fraction", "test_fraction", "seed")},
        form=cfg.form,
        channels=datamodule.channels,
        size=datamodule.size,
        fit=datamodule.fit,
        shard_mb=cfg.shard_mb,
    )
    manifest = pack(packing, Path(cfg.output), workers)
    _report(manifest, f"packed into {cfg.output}")
    return manifest


def _verify(root: str, cfg: "DictConfig", workers: int) -> Manifest:
    options = {"endpoint": cfg.endpoint, "anonymous": cfg.anonymous}
    store = ShardStore(root, Path(cfg.paths.cache) if is_remote(root) else None, cfg.data.cache_gb, **options)
    manifest = read_manifest(store)
    if faults := find_faults(store, manifest, workers):
        for fault in faults:
            log.warning("%s", fault)
        raise InputError(f"{len(faults)} of {len(manifest.shards)} shards of {root} are not as they were packed")
    _report(manifest, f"{root} is as it was packed")
    return manifest


def _count(workers: int | str) -> int:
    if workers == "auto":
        return count_cores()
    if not isinstance(workers, int) or workers < 1:
        raise InputError(f"workers={workers} is no number of processes; give auto, or at least 1")
    return workers


def _report(manifest: Manifest, what: str) -> None:
    pictures = ", ".join(f"{sum(shard.pictures for shard in manifest.parts[part]):,} {part}" for part in PARTS)
    length = sum(shard.bytes for shard in manifest.shards)
    console = Console(highlight=False, soft_wrap=True, markup=False)
    console.print(f"{what}: {pictures} pictures in {len(manifest.shards):,} shards, {length / 1e6:,.1f} MB")
    if manifest.left_out:
        console.print(f"left out: {len(manifest.left_out):,} files that cannot be read, named in manifest.json")
