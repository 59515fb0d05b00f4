"""Copy a TensorBoard log without its pictures: the curves of a run whose pictures may not be given away.

    python scripts/copy_scalars.py outputs/train/TIME/tensorboard docs/tensorboard/gtsrb-fast

All event files of the first folder become one in the second, which keeps the scalars alone, with their steps and times.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter


def scalars(file: Path) -> Iterator[Event]:
    """The events of a file that begin it or hold a scalar, without whatever else they hold."""
    for event in LegacyEventFileLoader(str(file)).Load():
        kept = [value for value in event.summary.value if value.HasField("simple_value")]
        if event.HasField("file_version"):
            yield event
        elif kept:
            yield Event(wall_time=event.wall_time, step=event.step, summary={"value": kept})


def main() -> None:
    """Parse the command line and copy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    files = sorted(options.log.glob("events.out.tfevents.*"))
    events = [event for file in files for event in scalars(file)]
    if not any(event.summary.value for event in events):
        sys.exit(f"error: no scalars in {options.log}; give the folder tensorboard/ of a run")
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / f"events.out.tfevents.{int(events[0].wall_time)}.scalars"
    written = path.with_name(f".{path.name}.part")
    with written.open("wb") as stream:
        writer = RecordWriter(stream)
        for event in events:
            writer.write(event.SerializeToString())
    written.replace(path)
    print(f"wrote {path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
