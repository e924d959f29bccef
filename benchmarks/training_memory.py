"""Peak memory of full back-propagation through time, plain and by replay, against the number of segments.

    python benchmarks/training_memory.py [--segments 4 16 64] [--memory compressive]

Each number is the peak resident memory of a fresh process after one step, less that of a step over one segment.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from common import RESULTS, write

STEP = """
import json, resource, torch
from memenc import MemencForSequenceClassification
from common import backbone
torch.set_num_threads(1)
torch.manual_seed(0)
model = MemencForSequenceClassification.from_backbone(
    backbone(None), memory={memory!r}, segment_length=128, segments_per_call=1
).train()
model.memenc.encoder.checkpointing = {replay}
ids = torch.randint(1000, 30000, (1, 128 * {segments}))
model(ids, labels=torch.tensor([1])).loss.backward()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with torch.no_grad():
    state = model.memenc.initial_memory(1).nbytes
print(json.dumps({{"peak_kilobytes": peak, "state_bytes": state}}))
"""


def step(memory: str, replay: bool, segments: int) -> dict:
    """Peak memory of one training step in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", STEP.format(memory=memory, replay=replay, segments=segments)],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", default="compressive")
    parser.add_argument("--segments", type=int, nargs="+", default=[4, 16, 64])
    arguments = parser.parse_args()
    rows = []
    for replay in (False, True):
        one = step(arguments.memory, replay, 1)
        for segments in arguments.segments:
            found = step(arguments.memory, replay, segments)
            more = found["peak_kilobytes"] - one["peak_kilobytes"]
            rows.append(
                {
                    "memory": arguments.memory,
                    "replay": replay,
                    "segments": segments,
                    "peak_kilobytes": found["peak_kilobytes"],
                    "kilobytes_per_further_segment": round(more / (segments - 1)),
                    "state_kilobytes": round(found["state_bytes"] / 1024),
                }
            )
            print(rows[-1], file=sys.stderr)
    write(RESULTS / "training_memory.csv", rows)


if __name__ == "__main__":
    main()
