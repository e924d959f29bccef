"""Find the entries of an archive with the largest inner products: exact, in torch or by faiss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# Entries compared with all queries at once: bounds the memory of a search, whatever the archive's size.
BLOCK = 8_192

Search = Callable[[Tensor, Tensor, Tensor, int], tuple[Tensor, Tensor]]


def nearest_entries(
    queries: Tensor, keys: Tensor, values: Tensor, valid: Tensor, count: int, search: str = "torch"
) -> tuple[Tensor, Tensor]:
    """Logits (batch, heads, tokens, count) and values (..., count, dim) of the entries with the largest inner products.

    Entries that are not `valid` (batch, entries) have the logit -inf, also where there are fewer than `count`. The
    choice has no gradient, what is chosen has.
    """
    if keys.shape[2] == 0:
        # Nothing archived: one entry of zeros that nobody weighs.
        one = (*queries.shape[:3], 1)
        return queries.new_full(one, -torch.inf), values.new_zeros(*one, values.shape[3])
    with torch.no_grad():
        found, best = SEARCHES[search](queries, keys, valid, min(count, keys.shape[2]))
    chosen_keys, chosen_values = _pick(keys, best), _pick(values, best)
    logits = (chosen_keys @ queries[..., None]).squeeze(-1)
    return logits.masked_fill(found == -torch.inf, -torch.inf), chosen_values


def by_torch(queries: Tensor, keys: Tensor, valid: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Logits and places of the best `count` entries, block by block."""
    best_logits = queries.new_full((*queries.shape[:3], 0), -torch.inf)
    best = torch.zeros_like(best_logits, dtype=torch.long)
    for start in range(0, keys.shape[2], BLOCK):
        block = keys[:, :, start : start + BLOCK]
        logits = queries @ block.transpose(-1, -2)
        logits.masked_fill_(~valid[:, None, None, start : start + BLOCK], -torch.inf)
        # The best of the block first: places of all its entries would take twice the room of their logits.
        logits, index = logits.topk(min(count, block.shape[2]), dim=-1)
        best_logits, best = torch.cat([best_logits, logits], -1), torch.cat([best, index + start], -1)
        best_logits, chosen = best_logits.topk(min(count, best_logits.shape[-1]), dim=-1)
        best = best.gather(-1, chosen)
    return best_logits, best


def by_faiss(queries: Tensor, keys: Tensor, valid: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The same by faiss's exact search on the CPU, in float32, one head of one document after the other.

    Source: Douze et al. 2024, The Faiss library (arXiv:2401.08281).
    """
    faiss = import_faiss()
    logits = torch.full((*queries.shape[:3], count), -torch.inf)
    best = torch.zeros(logits.shape, dtype=torch.long)
    for document in range(len(queries)):
        # Where entries are valid is a stretch: the front of a growing archive, the end of a bounded one.
        places = valid[document].nonzero().squeeze(1).cpu()
        if len(places) == 0:
            continue
        first, found = int(places[0]), min(count, len(places))
        for head in range(queries.shape[1]):
            stretch = keys[document, head, first : first + len(places)].float().cpu().contiguous().numpy()
            asked = queries[document, head].float().cpu().contiguous().numpy()
            products, index = faiss.knn(asked, stretch, found, metric=faiss.METRIC_INNER_PRODUCT)
            logits[document, head, :, :found] = torch.from_numpy(products)
            best[document, head, :, :found] = torch.from_numpy(index) + first
    return logits.to(queries), best.to(queries.device)


def import_faiss() -> Any:
    """The module.

    Raises:
        ValueError: it is not installed.
    """
    try:
        import faiss
    except ImportError:
        raise ValueError("search='faiss' needs faiss: pip install 'memenc[faiss]', or take search='torch'") from None
    return faiss


SEARCHES: dict[str, Search] = {"torch": by_torch, "faiss": by_faiss}


def _pick(entries: Tensor, index: Tensor) -> Tensor:
    """Entries (batch, heads, entries, dim) at `index` (batch, heads, tokens, count), which gives (..., count, dim)."""
    flat = index.flatten(2)[..., None].expand(-1, -1, -1, entries.shape[3])
    return entries.gather(2, flat).unflatten(2, index.shape[2:])
