"""Attention of segments over their own tokens and over lines of memory, in one softmax."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from memenc_kernels.checks import require_alike, require_bool, require_shape, require_together
from memenc_kernels.dispatch import Implementation, choose
from memenc_kernels.memory_attention import operators, reference
from memenc_kernels.memory_attention.gather import gathered
from memenc_kernels.memory_attention.line import Line

__all__ = ["Line", "memory_attention", "memory_attention_with_log_weight"]


@dataclass(frozen=True)
class _Call:
    """Checked arguments of one call."""

    queries: Tensor
    keys: Tensor
    values: Tensor
    valid: Tensor | None
    lines: tuple[Line, ...]
    scaling: float
    causal: bool
    sliding_window: int | None
    memory_in_sliding_window: bool

    def rows(self) -> dict[str, Any]:
        """What the reference takes, beside queries, keys and values."""
        return {
            "valid": self.valid,
            "scaling": self.scaling,
            "causal": self.causal,
            "sliding_window": self.sliding_window,
            "memory_in_sliding_window": self.memory_in_sliding_window,
            **gathered(self.lines, self.queries, self.sliding_window is not None),
        }


def memory_attention(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    *,
    lines: Sequence[Line] = (),
    valid: Tensor | None = None,
    scaling: float | None = None,
    causal: bool = False,
    sliding_window: int | None = None,
    memory_in_sliding_window: bool = True,
    dropout: float = 0.0,
    implementation: Implementation = "auto",
) -> Tensor:
    """``softmax(q [lines, keys]^T * scaling + [bias, 0]) [lines, values]`` for every row, a row being one segment.

    Args:
        queries: (rows, heads, tokens, dim) with rows = batch * segments, the segments of a document one behind another.
        keys: (rows, key_value_heads, tokens, dim), heads a multiple of key_value_heads.
        values: like keys.
        lines: the memories that are seen beside the row's own tokens, see `Line`.
        valid: (rows, tokens) bool, or None if all are; in a row without any, every token counts as valid, so that
            its (meaningless) output is finite.
        scaling: of the logits; dim ** -0.5 if None.
        causal: a token sees no later token of its row (memory always lies before it).
        sliding_window: a token sees what is less than this many positions away.
        memory_in_sliding_window: whether `sliding_window` holds for lines too.
        dropout: share of attention weights set to zero.
        implementation: auto, triton or torch, see `memenc_kernels.dispatch`.

    Returns:
        (rows, heads, tokens, dim); zeros for a token that sees nothing.

    Raises:
        ValueError: shapes that do not fit, or triton was asked for and cannot do this.
    """
    call = _checked(queries, keys, values, valid, lines, scaling, causal, sliding_window, memory_in_sliding_window)
    if _chosen(call, implementation, dropout) == "triton":
        return operators.attend(**vars(call))[0]
    return reference.attention(queries, keys, values, **call.rows(), dropout=dropout)


def memory_attention_with_log_weight(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    *,
    lines: Sequence[Line] = (),
    valid: Tensor | None = None,
    scaling: float | None = None,
    causal: bool = False,
    sliding_window: int | None = None,
    memory_in_sliding_window: bool = True,
    dropout: float = 0.0,
    implementation: Implementation = "auto",
) -> tuple[Tensor, Tensor]:
    """What `memory_attention` gives, and the logarithm of the sum of exponentials over which it takes its mean.

    Arguments and errors as there.

    Returns:
        (rows, heads, tokens, dim), and (rows, heads, tokens, 1) in float32 at least, -inf for a token that sees
        nothing.
    """
    call = _checked(queries, keys, values, valid, lines, scaling, causal, sliding_window, memory_in_sliding_window)
    if _chosen(call, implementation, dropout) == "triton":
        return operators.attend(**vars(call))
    rows = call.rows()
    attended = reference.attention(queries, keys, values, **rows, dropout=dropout)
    rows.pop("memory_values", None)
    return attended, reference.log_weight(queries, keys, **rows)


def _chosen(call: _Call, implementation: Implementation, dropout: float) -> str:
    refusal = operators.refusal(call.queries, len(call.lines), dropout)
    return choose("memory_attention", implementation, call.queries.device, refusal)


def _checked(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    valid: Tensor | None,
    lines: Sequence[Line],
    scaling: float | None,
    *others: Any,
) -> _Call:
    require_shape("queries", queries, rows=None, heads=None, tokens=None, dim=None)
    rows, heads, tokens, dim = queries.shape
    groups = keys.shape[1] if keys.dim() == 4 else 0
    for name, tensor in (("keys", keys), ("values", values)):
        require_shape(name, tensor, rows=rows, key_value_heads=groups, tokens=tokens, dim=dim)
    if not groups or heads % groups:
        raise ValueError(f"queries have {heads} heads, which {groups} heads of keys cannot share evenly")
    require_alike({"queries": queries, "keys": keys, "values": values})
    require_together({"queries": queries, "valid": valid})
    if valid is not None:
        require_bool("valid", valid)
        require_shape("valid", valid, rows=rows, tokens=tokens)
    present = tuple(line for line in lines if line.entries)
    if len({len(line.head_keys) for line in present}) > 1:
        raise ValueError(f"lines are of {[len(line.head_keys) for line in present]} documents; give as many in each")
    for line in present:
        line.check(queries, groups)
        require_alike({"queries": queries, **line.entry_tensors()})
        beside = {"valid": line.valid, "bias": line.bias, "positions": line.positions}
        require_together({"queries": queries, **beside})
    scale = float(dim**-0.5) if scaling is None else scaling
    kept = tuple(line.of_segments(rows // len(line.head_keys)) for line in present)
    return _Call(queries, keys, values, valid, kept, scale, *others)
