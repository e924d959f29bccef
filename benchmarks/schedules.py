"""What a memory costs, and how many segments to read at once: time and peak memory by schedule.

    python benchmarks/schedules.py [--backbone PATH] [--tokens 16384]
    python benchmarks/schedules.py --device cuda    # 131,072 tokens, up to the 128 segments per call of the default

Times are processor seconds on a CPU and wall seconds on a GPU, medians over rounds in which all configurations take
turns, so that a noisy machine disturbs all alike; what counts is the ratio to `none` at its own best schedule.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from common import RESULTS, backbone, write

from memenc import MemencModel

DESIGNS = {
    "none": {},
    "windowed": {"window": 512},
    "moving_average": {"slots": 16},
    "compressive": {"window": 512, "slots": 128, "rate": 4},
}
# What is left out on the command line. A GPU reads as many tokens in a moment, and by default 128 segments at once.
DEFAULTS = {
    "cpu": {"tokens": 16_384, "rounds": 3, "segments_per_call": [1, 2, 4, 8, 32]},
    "cuda": {"tokens": 131_072, "rounds": 15, "segments_per_call": [1, 8, 32, 128]},
}


def seconds(model: MemencModel, ids: torch.Tensor) -> float:
    """Time of one reading."""
    if ids.device.type == "cuda":
        torch.cuda.synchronize()
        started = time.perf_counter()
        model(ids, output_token_states=False)
        torch.cuda.synchronize()
        return time.perf_counter() - started
    started = time.process_time()
    model(ids, output_token_states=False)
    return time.process_time() - started


@torch.no_grad()
def schedules(arguments: argparse.Namespace) -> list[dict]:
    """Rows of design x segments per call."""
    dtype = torch.bfloat16 if arguments.device == "cuda" else torch.float32
    models = {
        name: MemencModel.from_backbone(
            backbone(arguments.backbone), memory=name, memory_options=options, segment_length=512
        )
        .to(arguments.device, dtype)
        .eval()
        for name, options in DESIGNS.items()
    }
    ids = torch.randint(1_000, 30_000, (1, arguments.tokens), device=arguments.device)
    times: dict[tuple[str, int], list[float]] = {}
    for round_number in range(arguments.rounds + 1):
        for per_call in arguments.segments_per_call:
            for name, model in models.items():
                model.config.segments_per_call = per_call
                taken = seconds(model, ids)
                if round_number:
                    times.setdefault((name, per_call), []).append(taken)
        print(f"round {round_number} of {arguments.rounds}", file=sys.stderr)
    medians = {key: statistics.median(values) for key, values in times.items()}
    plain = min(value for (name, _), value in medians.items() if name == "none")
    return [
        {
            "design": name,
            "segments_per_call": per_call,
            "tokens": arguments.tokens,
            "seconds": round(value, 4),
            "spread": round(max(times[name, per_call]) - min(times[name, per_call]), 4),
            "tokens_per_second": round(arguments.tokens / value),
            "same_schedule_ratio": round(value / medians["none", per_call], 3),
            "best_none_ratio": round(value / plain, 3),
            "device": arguments.device,
        }
        for (name, per_call), value in medians.items()
    ]


STREAM = """
import json, resource, sys, torch
from memenc import MemencModel
from common import backbone
torch.set_num_threads(1)
model = MemencModel.from_backbone(backbone({path!r}), memory="compressive", segment_length=512).eval()
memory = None
with torch.no_grad():
    for start in range(0, {tokens}, 8192):
        ids = torch.randint(1000, 30000, (1, min(8192, {tokens} - start)))
        memory = model(ids, memory=memory, output_token_states=False).memory
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({{"tokens": {tokens}, "peak_kilobytes": peak, "state_bytes": memory.nbytes}}))
"""


def streaming_memory(path: str | None, lengths: list[int]) -> list[dict]:
    """Peak resident memory of a fresh process that streams so many tokens."""
    rows = []
    for tokens in lengths:
        done = subprocess.run(
            [sys.executable, "-c", STREAM.format(path=path, tokens=tokens)],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
        rows.append(json.loads(done.stdout.strip().splitlines()[-1]))
        print(rows[-1], file=sys.stderr)
    return [row | {"ratio": round(row["peak_kilobytes"] / rows[0]["peak_kilobytes"], 4)} for row in rows]


def with_defaults(arguments: argparse.Namespace) -> argparse.Namespace:
    """The arguments with those of the device for what was left out."""
    given = {name: value for name, value in vars(arguments).items() if value is not None}
    return argparse.Namespace(**DEFAULTS[arguments.device] | {"backbone": None} | given)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", help="name or path; random weights in the size of MiniLM-L6 if left out")
    parser.add_argument("--device", default="cpu", choices=list(DEFAULTS))
    parser.add_argument("--tokens", type=int)
    parser.add_argument("--rounds", type=int, help="0 leaves the schedules out")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--segments-per-call", type=int, nargs="+")
    parser.add_argument(
        "--streaming", type=int, nargs="*", default=[], help="lengths for peak memory, such as 100000 1000000"
    )
    arguments = with_defaults(parser.parse_args())
    torch.set_num_threads(arguments.threads)
    suffix = "" if arguments.device == "cpu" else f"_{arguments.device}"
    if arguments.rounds:
        write(RESULTS / f"schedules{suffix}.csv", schedules(arguments))
    if arguments.streaming:
        write(RESULTS / "streaming_memory.csv", streaming_memory(arguments.backbone, arguments.streaming))


if __name__ == "__main__":
    main()
