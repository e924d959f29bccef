"""What the ahead-of-time gate compiles of memory attention."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from memenc_kernels.ahead import Build, Constant
from memenc_kernels.architectures import Architecture
from memenc_kernels.memory_attention.configurations import DIMS, KERNELS, SHORT, configuration

MODULES = {"forward": "triton", "queries": "triton_backward", "entries": "triton_backward", "tokens": "triton_backward"}
BYTES = {"bf16": 2, "fp16": 2, "fp32": 4}
NONE = Constant(None)


def builds(architecture: Architecture) -> Iterator[Build]:
    """Every kernel in every shipped configuration, with two lines that have all they can have."""
    here = "memenc_kernels.memory_attention"
    ranges = _signature("ranges", "bf16", 64) | {"BLOCK": Constant(1024)}
    yield Build("memory_attention ranges", f"{here}.triton", "ranges_kernel", ranges, {"num_warps": 4}, everyday=True)
    for kernel, kind, dim, tokens in product(KERNELS, BYTES, DIMS, (SHORT, SHORT + 1)):
        chosen = configuration(architecture, kernel, dim, BYTES[kind], tokens)
        for sliding in (False, True) if (kind, dim) == ("bf16", 64) else (False,):
            signature = _signature(kernel, kind, dim, sliding) | {
                "BLOCK_QUERIES": Constant(chosen.queries),
                "BLOCK_KEYS": Constant(chosen.keys),
            }
            words = ["memory_attention", kernel, kind, dim, "short" if tokens <= SHORT else "long"]
            yield Build(
                " ".join(map(str, words + ["sliding"] * sliding)),
                f"{here}.{MODULES[kernel]}",
                f"{kernel}_kernel",
                signature,
                {"num_warps": chosen.warps, "num_stages": chosen.stages},
                # Hopper's instructions take 64 rows; smaller blocks multiply with those of its predecessors.
                matrix=kind != "fp32" and min(chosen.queries, chosen.keys) >= 64,
                everyday=(kind, dim) == ("bf16", 64) and tokens > SHORT and not sliding,
            )


def _signature(kernel: str, kind: str, dim: int, sliding: bool = False) -> dict[str, Any]:
    """Types of a kernel's arguments, in its order."""
    from memenc_kernels.memory_attention import triton, triton_backward

    module = triton if kernel in ("forward", "ranges") else triton_backward
    lines = tuple(_line(triton.LineArguments, kind, sliding) for _ in range(1 if kernel == "entries" else 2))
    gradient = _line(triton.LineArguments, kind, False)._replace(valid=NONE, bias=NONE)
    tensors = ("queries", "keys", "values", "output", "output_gradient", "query_gradient")
    known: dict[str, Any] = dict.fromkeys((*tensors, "key_gradient", "value_gradient"), f"*{kind}:16")
    numbers = ("log_weight", "log_weight_gradient", "change", "bias_gradient")
    known |= dict.fromkeys(numbers, "*fp32:16") | {"valid": "*u8:16", "ranges": "*i32:16"}
    known |= {"lines": lines, "gradients": (gradient,), "scaling": "fp32"}
    known |= dict.fromkeys(("segments", "tokens", "heads", "group", "window", "places"), "i32")
    known |= {"valid_strides": ("i32:16", Constant(1)), "bias_gradient_strides": ("i32:16", "i32:16")}
    known |= {"DIM": Constant(dim), "BLOCK_DIM": Constant(dim), "INDEX": Constant(0), "ALIGNED": Constant(True)}
    known |= {"CAUSAL": Constant(sliding), "SLIDING": Constant(sliding), "SLIDING_MEMORY": Constant(sliding)}
    names = getattr(module, f"{kernel}_kernel").arg_names
    # What is left are strides, (row, head, token).
    return {name: known.get(name, ("i32:16",) * 3) for name in names if not name.startswith("BLOCK_") or name in known}


def _line(arguments: Any, kind: str, sliding: bool) -> Any:
    three, four = ("i32:16",) * 3, ("i32:16",) * 4
    strides = (three, three, four, four, ("i32:16", "i32:16", Constant(1)), ("i32:16", Constant(1)))
    entries = (f"*{kind}:16",) * 4
    return arguments(*entries, "*u8:16", f"*{kind}:16", "*fp32:16" if sliding else NONE, *strides, "i32", "i32")
