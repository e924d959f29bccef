"""What the ahead-of-time gate compiles of memory attention."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from memenc_kernels.ahead import Build, Constant
from memenc_kernels.architectures import Architecture
from memenc_kernels.arrays import Array
from memenc_kernels.memory_attention.configurations import DIMS, KERNELS, SHORT, configuration

MODULES = {"forward": "triton", "queries": "triton_backward", "entries": "triton_backward", "tokens": "triton_backward"}
BYTES = {"bf16": 2, "fp16": 2, "fp32": 4}
NONE = Constant(None)


def builds(architecture: Architecture) -> Iterator[Build]:
    """Every kernel in every shipped configuration, with two lines that have all they can have.

    Triton compiles anew for numbers that are 1 or divisible by 16, so long rows come in numbers of either kind.
    """
    here = "memenc_kernels.memory_attention"
    ranges = _signature("ranges", "bf16", 64, False) | {"BLOCK": Constant(1024)}
    yield Build("memory_attention ranges", f"{here}.triton", "ranges_kernel", ranges, {"num_warps": 4}, everyday=True)
    lengths = {"short": SHORT, "long": SHORT + 1, "even": 2 * SHORT}
    for kernel, kind, dim, length, sliding in product(KERNELS, BYTES, DIMS, lengths, (False, True)):
        chosen = configuration(architecture, kernel, dim, BYTES[kind], lengths[length], sliding)
        signature = _signature(kernel, kind, dim, sliding, even=length == "even") | {
            "BLOCK_QUERIES": Constant(chosen.queries),
            "BLOCK_KEYS": Constant(chosen.keys),
        }
        yield Build(
            f"memory_attention {kernel} {kind} {dim} {length}{' sliding' if sliding else ''}",
            f"{here}.{MODULES[kernel]}",
            f"{kernel}_kernel",
            signature,
            {"num_warps": chosen.warps, "num_stages": chosen.stages},
            # Hopper's instructions take 64 rows; smaller blocks multiply with those of its predecessors.
            matrix=kind != "fp32" and min(chosen.queries, chosen.keys) >= 64,
            everyday=(kind, dim, length, sliding) == ("bf16", 64, "even", False),
        )


def _signature(kernel: str, kind: str, dim: int, sliding: bool, even: bool = False) -> dict[str, Any]:
    """Types of a kernel's arguments; `even`: sizes are divisible by 16, and every head has keys of its own."""
    from memenc_kernels.memory_attention import blocks, triton, triton_backward

    vectors = Array(f"*{kind}:16", ("i32:16",) * 3)
    bodies = Array(f"*{kind}:16", ("i32:16",) * 4)
    valid = Array("*u8:16", ("i32:16", "i32:16", Constant(1)))
    bias = Array(f"*{kind}:16", ("i32:16", Constant(1)))
    positions = "*fp32:16" if sliding else NONE
    size = "i32:16" if even else "i32"
    line = blocks.Entries(vectors, vectors, bodies, bodies, valid, bias, positions, size, size)
    own = Array("*u8:16", ("i32:16", Constant(1)))
    sizes = dict.fromkeys(("segments", "tokens"), size) | {"heads": "i32", "group": Constant(1) if even else "i32"}
    window = "i32" if sliding else NONE
    known: dict[str, Any] = {
        "seen": blocks.Seen(vectors, vectors, own, "*i32:16", (line, line), window=window, **sizes),
        "asked": triton_backward.Asked(vectors, vectors, "*fp32:16", "*fp32:16"),
        "gradients": line._replace(valid=NONE, bias=NONE, positions=NONE),
        "log_weight": "*fp32:16",
        "log_weight_gradient": Array("*fp32:16", ("i32:16", "i32:16", Constant(1))),
        "bias_gradient": Array("*fp32:16", ("i32:16", "i32:16", Constant(1))),
        "places": size,
        "scaling": "fp32",
        **{name: Constant(dim) for name in ("DIM", "BLOCK_DIM")},
        **{"LINES": Constant(2), "INDEX": Constant(0), "ALIGNED": Constant(True), "CAUSAL": Constant(sliding)},
    }
    if kernel == "entries":
        known["seen"] = known["seen"]._replace(own_keys=NONE, own_values=NONE, own_valid=NONE)
    module = triton if kernel in ("forward", "ranges") else triton_backward
    names = getattr(module, f"{kernel}_kernel").arg_names
    # What is left are vectors, (row, head, token).
    return {name: known.get(name, vectors) for name in names if not name.startswith("BLOCK_") or name in known}
