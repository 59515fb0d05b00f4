"""Whether shards are what was packed, to the last bit."""

from collections.abc import Iterable
from contextlib import nullcontext
from multiprocessing.pool import ThreadPool

from imcomp.data.progress import with_bar
from imcomp.data.shards.manifest import Manifest, Shard
from imcomp.data.shards.store import ShardStore, sha256_of
from imcomp.errors import InputError


def find_faults(store: ShardStore, manifest: Manifest, workers: int) -> list[str]:
    """Read every shard and compare its checksum; those from afar are fetched.

    Args:
        store: where they are.
        manifest: what they should be.
        workers: threads.

    Returns:
        One line for each shard that is missing, cut short or damaged.
    """

    def fault(shard: Shard) -> str | None:
        try:
            path = store.provide(manifest, shard)
            if sha256_of(path) == shard.sha256:
                return None
            return f"{path} is damaged: its checksum is not the manifest's; copy it again, or pack anew"
        except InputError as error:
            return str(error)

    with ThreadPool(workers) if workers > 1 else nullcontext() as pool:
        found: Iterable[str | None] = (pool.imap if pool else map)(fault, manifest.shards)
        pairs = zip(found, manifest.shards, strict=True)
        shown = with_bar(pairs, "Checking shards", manifest.pictures, lambda pair: pair[1].pictures)
        return [line for line, _ in shown if line is not None]
