"""What every memory holds and computes with its own defaults: counted, not timed.

    python benchmarks/memory_costs.py [--backbone PATH]

Bytes are of one document's state in the layers (and over the top, where tokens come back in from there), in float32.
Operations are of matrix products per token, beside those of the same encoder with `none`; they are counted while the
second half of a document is read, when windows are full. A multiplication and an addition count as two.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from common import RESULTS, backbone, write
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from memenc import MemencModel, available_memories
from memenc_kernels.dispatch import use_implementation


@torch.no_grad()
def costs(memory: str, arguments: argparse.Namespace) -> dict:
    """One row without the comparison with `none`."""
    model = MemencModel.from_backbone(backbone(arguments.backbone), memory=memory, segment_length=512).eval()
    tokens = arguments.segments * model.own_tokens_per_segment
    first, second = torch.full((2, 1, tokens // 2), 5)
    before = model(first, output_token_states=False).memory
    # What fused kernels do is hidden from the counter.
    with use_implementation("torch"), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        after = model(second, memory=before, output_token_states=False).memory
    row_tokens = model.encoder.row_tokens
    kept = ("layers.", "top.") if row_tokens is not None and row_tokens.streams else ("layers.",)

    def state_bytes(state) -> int:
        return sum(tensor.nbytes for name, tensor in state.tensors.items() if name.startswith(kept))

    parts = [model.encoder.memories, model.encoder.top_memory, *([] if row_tokens is None else [row_tokens])]
    return {
        "memory": memory,
        "layers": len(model.config.layers_with_memory()),
        "state_bytes": state_bytes(after),
        "grows": state_bytes(after) > state_bytes(before),
        "flops_per_token": round(counter.get_total_flops() / (tokens // 2)),
        "parameters": sum(parameter.numel() for part in parts for parameter in part.parameters()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", help="name or folder; random weights in the size of MiniLM-L6 without")
    parser.add_argument("--segments", type=int, default=16)
    parser.add_argument("--output", type=Path, default=RESULTS / "memory_costs.csv")
    arguments = parser.parse_args()
    rows = []
    for memory in (*available_memories(), "windowed+linear"):
        rows.append(costs(memory, arguments))
        rows[-1]["beside_none"] = round(rows[-1]["flops_per_token"] / rows[0]["flops_per_token"], 3)
        print(rows[-1], file=sys.stderr)
    write(arguments.output, rows)


if __name__ == "__main__":
    main()
