"""Linear memory: segments retrieve from a matrix per head and write into it, by the linear or the delta rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from memenc_kernels.checks import require_alike, require_bool, require_shape, require_together, width_refusal
from memenc_kernels.dispatch import Implementation, choose
from memenc_kernels.linear_memory import reference
from memenc_kernels.linear_memory.arguments import Given
from memenc_kernels.linear_memory.configurations import WIDEST
from memenc_kernels.linear_memory.operators import run
from memenc_kernels.linear_memory.reference import inverse_of

Rule = Literal["linear", "delta"]


class LinearMemoryOutput(NamedTuple):
    """What `linear_memory` gives.

    Shapes: retrieved like the queries; matrix and normaliser like those before.
    """

    retrieved: Tensor
    matrix: Tensor
    normaliser: Tensor


def linear_memory(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    *,
    matrix: Tensor,
    normaliser: Tensor,
    complete: Tensor,
    known: Tensor,
    rule: Rule = "delta",
    cuts: Sequence[bool] = (),
    implementation: Implementation = "auto",
) -> LinearMemoryOutput:
    """``M += f(K)^T (V - f(K) M / f(K) z)``, ``z += sum f(K)`` along segments; each first reads ``f(q) M / f(q) z``.

    ``f = elu + 1``; the linear rule leaves out the subtraction. A key of which z says 0 retrieves nothing.

    Source: Munkhdalai et al. 2024, Infini-attention (arXiv:2404.07143); delta rule as in Schlag et al. 2021
    (arXiv:2102.11174).

    Args:
        queries: (batch, segments, heads, tokens, dim), heads a multiple of key_value_heads.
        keys: (batch, segments, key_value_heads, written tokens, dim); may hold anything where not `complete`.
        values: like keys.
        matrix: M before the first segment, (batch, key_value_heads, dim, dim), in float32 at least.
        normaliser: z before the first segment, (batch, key_value_heads, dim), in the type of the matrix.
        complete: (batch, segments) bool, whether the document writes the segment; for others its state stays bit for
            bit.
        known: (batch, segments) bool, whether the document wrote anything before the segment; what is retrieved is not
            divided where it did not.
        rule: linear or delta.
        cuts: per segment whether the gradient through the state ends before it; none does if left out.
        implementation: auto, triton or torch.

    Raises:
        ValueError: shapes, types or devices do not fit, or Triton was asked for and cannot run.
    """
    if rule not in get_args(Rule):
        raise ValueError(f"rule={rule!r}: choose one of {get_args(Rule)}")
    given = Given(queries, keys, values, matrix, normaliser, complete, known)
    _check(given, cuts)
    if choose("linear_memory", implementation, queries.device, _refusal(queries, matrix)) == "triton":
        return LinearMemoryOutput(*run(*given, rule == "delta", tuple(cuts)))
    return LinearMemoryOutput(*reference.linear_memory(given, rule == "delta", cuts))


def _check(given: Given, cuts: Sequence[bool]) -> None:
    queries, keys, values, matrix, normaliser, complete, known = given
    require_shape("queries", queries, batch=None, segments=None, heads=None, tokens=None, dim=None)
    batch, segments, heads, _, dim = queries.shape
    require_shape("keys", keys, batch=batch, segments=segments, heads=None, tokens=None, dim=dim)
    groups, tokens = keys.shape[2:4]
    if heads % groups:
        raise ValueError(f"queries have {heads} heads, keys {groups}; the first must be a multiple of the second")
    require_shape("values", values, batch=batch, segments=segments, heads=groups, tokens=tokens, dim=dim)
    require_shape("matrix", matrix, batch=batch, heads=groups, key=dim, value=dim)
    require_shape("normaliser", normaliser, batch=batch, heads=groups, key=dim)
    for name, mask in {"complete": complete, "known": known}.items():
        require_shape(name, mask, batch=batch, segments=segments)
        require_bool(name, mask)
    require_alike({"queries": queries, "keys": keys, "values": values})
    require_alike({"matrix": matrix, "normaliser": normaliser})
    require_together({"queries": queries, "matrix": matrix, "complete": complete, "known": known})
    if cuts and len(cuts) != segments:
        raise ValueError(f"cuts has {len(cuts)} entries for {segments} segments; give one for each, or none")


def _refusal(queries: Tensor, matrix: Tensor) -> str | None:
    """Why the Triton kernel cannot take these, None if it can."""
    if matrix.dtype != torch.float32:
        return f"the state is {matrix.dtype}, the kernel keeps it in torch.float32"
    return width_refusal(queries, WIDEST)


__all__ = ["LinearMemoryOutput", "Rule", "inverse_of", "linear_memory"]
