"""What multiplying by oneDNN wins on this CPU: linear layers, attention, a whole encoder read and trained.

    python benchmarks/products.py [--threads 1] [--rounds 5]

Random weights in the size of MiniLM-L6; processor seconds of one thread (wall seconds of more), medians over rounds in
which both ways take turns. `ratio` is the time of torch's usual way by that of memenc's. Where `memenc doctor` says
that torch's usual library is used, both are the same.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import torch
from common import RESULTS, backbone, write
from torch.nn import functional

from memenc import MemencModel
from memenc_kernels import memory_attention
from memenc_kernels.dispatch import use_implementation
from memenc_kernels.products import fast_products, why_not

SEGMENT, ENTRIES, HEADS, DIM, ROWS = 512, 640, 12, 32, 4


def linear(narrow: int, wide: int, trained: bool) -> Callable[[], object]:
    """A linear layer over the tokens of four segments, with its gradients if `trained`."""
    inputs, weight = torch.randn(ROWS, SEGMENT, wide), torch.randn(narrow, wide)
    gradient = torch.randn(ROWS, SEGMENT, narrow)
    three = (inputs.requires_grad_(trained), weight.requires_grad_(trained))

    def run() -> object:
        with fast_products(ROWS * SEGMENT * narrow * wide, inputs.device):
            output = functional.linear(*three)
        return torch.autograd.grad(output, three, gradient) if trained else output

    return run


def attention(entries: int) -> Callable[[], object]:
    """Attention of four segments over themselves and as many entries."""
    from memenc_kernels import Line

    queries, keys, values = torch.randn(3, ROWS, HEADS, SEGMENT, DIM)
    heads = torch.randn(2, ROWS, HEADS, entries, DIM)
    valid = torch.ones(ROWS, 1, entries, dtype=torch.bool)
    lines = [Line(heads[0], heads[1], valid=valid)] if entries else []
    return torch.no_grad()(lambda: memory_attention(queries, keys, values, lines=lines))


def encoder(memory: str, trained: bool) -> Callable[[], object]:
    """An encoder that reads 8,192 tokens, and learns from them if `trained`."""
    model = MemencModel.from_backbone(backbone(None), memory=memory, segment_length=SEGMENT, readout="mean")
    ids = torch.randint(1000, 30000, (1, 8192))

    def run() -> object:
        with torch.set_grad_enabled(trained):
            pooled = model(ids, output_token_states=False).pooler_output
        return pooled.pow(2).sum().backward() if trained else pooled

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    clock = time.process_time if arguments.threads == 1 else time.perf_counter
    works = {
        "linear 1,536 x 384": linear(1536, 384, trained=False),
        "linear 1,536 x 384, forth and back": linear(1536, 384, trained=True),
        "attention, no memory": attention(0),
        "attention, 640 entries of memory": attention(ENTRIES),
        "none, read": encoder("none", trained=False),
        "compressive, read": encoder("compressive", trained=False),
        "none, trained": encoder("none", trained=True),
        "compressive, trained": encoder("compressive", trained=True),
    }
    times = {(name, way): [] for name in works for way in ("torch", "auto")}
    for number in range(arguments.rounds + 1):
        for (name, way), taken in times.items():
            with use_implementation(way):
                started = clock()
                works[name]()
                taken.append(clock() - started)
        print(f"round {number} of {arguments.rounds}", file=sys.stderr, flush=True)
    rows = []
    for name in works:
        # The first round warms up.
        usual, ours = (times[name, way][1:] for way in ("torch", "auto"))
        ratios = [one / other for one, other in zip(usual, ours, strict=True)]
        rows.append(
            {
                "what": name,
                "threads": arguments.threads,
                "usual_milliseconds": round(1e3 * statistics.median(usual), 2),
                "milliseconds": round(1e3 * statistics.median(ours), 2),
                "ratio": round(statistics.median(ratios), 3),
                "lowest_ratio": round(min(ratios), 3),
                "highest_ratio": round(max(ratios), 3),
                "why_not": why_not() or "",
            }
        )
    write(RESULTS / "products.csv", rows)


if __name__ == "__main__":
    main()
