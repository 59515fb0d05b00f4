"""Plan training on a billion pictures: measure what can be measured, and write docs/billion.md from that.

    python scripts/plan_billion.py --measure PHOTOS    on a folder of photographs, into docs/billion/measured.json
    python scripts/plan_billion.py                     write docs/billion.md anew

Every figure on the page is computed here, from what was measured and from the assumptions below.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from string import Template

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "billion.md"
MEASURED, TEXT = (ROOT / "docs" / "billion" / name for name in ("measured.json", "page.template"))

NETWORKS = ("fast", "unet", "ffc")
READ = 400  # pictures whose decoding is timed
NAMES = 500_000  # whose memory is taken

# what nobody can measure in advance: put numbers of your own here
ASSUMED = {
    "pictures": (1_000_000_000, "pictures, files of the measured kind"),
    "epochs": (3, "epochs"),
    "nodes": (8, "nodes"),
    "gpus": (8, "GPUs a node"),
    "gpu_rate": (3000, "pictures/s that one GPU trains on"),
    "cores": (96, "cores a node"),
    "memory_gb": (1000, "GB of memory a node"),
    "network_gbit": (100, "Gbit/s of network a node"),
    "store_gbit": (400, "Gbit/s that the object store gives to all nodes together"),
    "gpu_hour": (2.5, "$ a GPU and hour"),
    "storage_month": (0.023, "$ a GB and month of object storage"),
    "requests": (0.0004, "$ for 1,000 requests"),
    "shard_mb": (256, "MB a shard, `shard_mb`"),
    "window": (8, "shards that a process mixes, `data.shuffle_shards`"),
    "size": (256, "pixels of each side, in colour"),
}


def measure(photos: str) -> dict[str, float | str]:
    """Pack photographs, decode them on one core, save a checkpoint of each network."""
    import torch

    from imcomp.benchmark.machine import describe_machine
    from imcomp.data.shards.loading import ShardDataset
    from imcomp.data.shards.reading import ShardSource
    from imcomp.data.shards.store import sha256_of

    torch.set_num_threads(1)
    machine = describe_machine()
    found: dict[str, float | str] = {"machine": f"{machine['processor']}, {machine['cores']} cores"}
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        packed = work / "packed"
        data = [
            "data=folder",
            f"data.root={Path(photos).resolve()}",
            "data.val_fraction=0.02",
            f"paths.cache={work / 'cache'}",
        ]
        command = [sys.executable, ROOT / "scripts" / "pack.py", *data, f"output={packed}", "shard_mb=4", "workers=1"]
        subprocess.run(command, cwd=work, check=True)
        source = ShardSource(str(packed))
        shards = source.manifest.shards
        found["pictures"] = len(source)
        found["bytes a picture"] = round(sum(shard.bytes for shard in shards) / len(source))
        names = sum((packed / shard.names_file).stat().st_size for shard in shards)
        found["bytes of names a picture"] = round(names / len(source))
        found["bytes of the manifest a shard"] = round((packed / "manifest.json").stat().st_size / len(shards))
        dataset = ShardDataset(source, "train", size=ASSUMED["size"][0], channels=3, fit="crop")
        dataset.__getitems__(range(8))
        started = time.perf_counter()
        for first in range(0, READ, 32):
            dataset.__getitems__(range(first, min(first + 32, READ)))
        found["pictures/s decoded on a core"] = round(READ / (time.perf_counter() - started))
        started = time.perf_counter()
        for shard in shards:
            sha256_of(packed / shard.file)
        seconds = time.perf_counter() - started
        found["MB/s of sha256 on a core"] = round(sum(shard.bytes for shard in shards) / seconds / 1e6)
        for network in NETWORKS:
            small = ["debug=fast", "data.channels=3", "trainer=cpu", "trainer.max_epochs=1", "callbacks.progress=null"]
            train = [sys.executable, ROOT / "train.py", f"model={network}", *small, f"paths.outputs={work / network}"]
            subprocess.run(train, cwd=work, check=True, stdout=subprocess.DEVNULL)
            checkpoint = work / network / "latest" / "checkpoints" / "last.ckpt"
            found[f"bytes of a checkpoint, {network}"] = checkpoint.stat().st_size
    found["bytes of memory a picture while packing"] = _memory_of_a_plan()
    found["command"] = "python scripts/plan_billion.py --measure PHOTOS"
    return found


def _memory_of_a_plan() -> int:
    """What names and split of a picture take in a fresh process."""
    script = (
        "import sys\n"
        "import numpy as np\n"
        "from imcomp.benchmark.memory import resident_mb\n"
        "from imcomp.data.shards.packing import deal\n"
        "from imcomp.data.splits import random_split\n"
        "before, count = resident_mb()['anonymous'], int(sys.argv[1])\n"
        "names = [f'{n % 1000:03d}/photo_{n:012d}.jpg' for n in range(count)]\n"
        "split = random_split(count, val_fraction=0.001, test_fraction=0.0, seed=0)\n"
        "order = b''.join(np.asarray(part, '<i8').tobytes() for part in split)\n"  # as the plan's digest is made
        "jobs = [deal(part, 1000) for part in split]\n"
        "print(resident_mb()['anonymous'] - before)"
    )
    command = [sys.executable, "-c", script, str(NAMES)]
    megabytes = float(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    return round(megabytes * 1e6 / NAMES)


def plan(measured: dict[str, float | str]) -> dict[str, str]:
    """Compute every figure of the page."""
    a = {key: value for key, (value, _) in ASSUMED.items()}
    m = {key: value for key, value in measured.items() if not isinstance(value, str)}
    per_picture, resized = m["bytes a picture"], 3 * a["size"] ** 2
    gpus = a["nodes"] * a["gpus"]
    rate, node_rate = gpus * a["gpu_rate"], a["gpus"] * a["gpu_rate"]
    total = a["pictures"] * per_picture
    shards = math.ceil(total / (a["shard_mb"] * 1e6))
    seconds = a["epochs"] * a["pictures"] / rate
    decoded = m["pictures/s decoded on a core"]
    cores = node_rate / decoded
    node_gbit, resized_gbit = (8 * node_rate * size / 1e9 for size in (per_picture, resized))
    store_gbit = a["nodes"] * node_gbit
    cache = a["gpus"] * (2 * a["window"] + 1) * a["shard_mb"] / 1e3
    packing_memory = a["pictures"] * m["bytes of memory a picture while packing"] / 1e9
    # pictures/s of all GPUs at which each part is used up
    limits = {
        "the nodes' cores, which decode": a["nodes"] * a["cores"] * decoded,
        "the nodes' network": a["nodes"] * a["network_gbit"] / 8 * 1e9 / per_picture,
        "the object store": a["store_gbit"] / 8 * 1e9 / per_picture,
        "the GPUs": float(rate),
    }
    first, second = sorted(limits, key=lambda name: limits[name])[:2]
    packing = a["pictures"] / (a["cores"] * decoded)  # reading every file once to check it costs as much as decoding
    saves = {network: m[f"bytes of a checkpoint, {network}"] for network in NETWORKS}
    spent = {
        "GPUs": gpus * seconds / 3600 * a["gpu_hour"],
        "storage, a month": total / 1e9 * a["storage_month"],
        "requests": a["epochs"] * shards / 1000 * a["requests"],
    }
    return {
        "assumed": _rows((what, f"{value:,}") for value, what in ASSUMED.values()),
        "measured": _rows((name, f"{value:,}") for name, value in m.items()),
        "machine": str(measured["machine"]),
        "command": str(measured["command"]),
        "limits": _rows((name, f"{value:,.0f}") for name, value in sorted(limits.items(), key=lambda item: item[1])),
        "checkpoints": _rows((f"`model={name}`", f"{size / 1e6:,.1f} MB") for name, size in saves.items()),
        "costs": _rows((name, f"${value:,.2f}") for name, value in [*spent.items(), ("in all", sum(spent.values()))]),
        "total_tb": f"{total / 1e12:,.1f}",
        "resized_tb": f"{a['pictures'] * resized / 1e12:,.1f}",
        "shards": f"{shards:,}",
        "small_shards": f"{math.ceil(total / 32e6):,}",
        "per_shard": f"{round(a['shard_mb'] * 1e6 / per_picture):,}",
        "manifest_mb": f"{shards * m['bytes of the manifest a shard'] / 1e6:,.0f}",
        "small_manifest_mb": f"{math.ceil(total / 32e6) * m['bytes of the manifest a shard'] / 1e6:,.0f}",
        "names_gb": f"{a['pictures'] * m['bytes of names a picture'] / 1e9:,.0f}",
        "packing_hours": f"{packing / 3600:,.1f}",
        "packing_memory": f"{packing_memory:,.0f}",
        "fits": f"{a['memory_gb'] * 1e9 / m['bytes of memory a picture while packing'] / 1e9:,.1f}",
        "rate": f"{rate:,}",
        "epoch_hours": f"{seconds / a['epochs'] / 3600:,.1f}",
        "hours": f"{seconds / 3600:,.1f}",
        "cores_needed": f"{cores:,.0f}",
        "node_gbit": f"{node_gbit:,.1f}",
        "resized_gbit": f"{resized_gbit:,.1f}",
        "store_gbit": f"{store_gbit:,.0f}",
        "sha_cores": f"{node_rate * per_picture / 1e6 / m['MB/s of sha256 on a core']:,.1f}",
        "cache_gb": f"{cache:,.0f}",
        "first": first,
        "first_rate": f"{limits[first]:,.0f}",
        "second": second,
        "second_rate": f"{limits[second]:,.0f}",
        "store_gbit_assumed": f"{a['store_gbit']:,}",
        **{key: f"{value:,}" for key, (value, _) in ASSUMED.items() if key != "store_gbit"},
    }


def page(measured: dict[str, float | str]) -> str:
    """The text with its figures."""
    return Template(TEXT.read_text(encoding="utf-8")).substitute(plan(measured))


def _rows(pairs: object) -> str:
    return "\n".join(f"| {name} | {value} |" for name, value in pairs)  # type: ignore[attr-defined]


def main() -> None:
    """Measure, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", metavar="PHOTOS", help="a folder of photographs")
    photos = parser.parse_args().measure
    if photos:
        MEASURED.write_text(json.dumps(measure(photos), indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(json.loads(MEASURED.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main()
