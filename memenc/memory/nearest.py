"""Nearest memory: an exact archive of keys and values, of which every query reads the few that fit it best."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, final, get_args

import torch
from einops import rearrange
from torch import Tensor, nn

from memenc.memory.base import LayerMemory, counter, empty, require_positive
from memenc.memory.linear import start_of_share
from memenc.memory.parts.archive import append, archived, filled_after
from memenc.memory.parts.room import Store, append_in_place
from memenc.memory.parts.search import SEARCHES, import_faiss, nearest_entries
from memenc.memory.values import Joined, LayerSizes, Mixed, Retrieved, Segment, State

Join = Literal["gate", "softmax"]


@final
class NearestMemory(LayerMemory):
    """Every query reads the `nearest` archived keys with the largest inner products, per head, exactly.

    What it reads is mixed with local attention by a learned share per head (gate), or joins it in one softmax with a
    learned bias (softmax). The archive grows with the document, the one state beside `summary`'s that does; `entries`
    bounds it, the oldest go first. The search is exact; only what is read gets gradient.

    Source: Wu et al. 2022, Memorizing Transformers (arXiv:2203.08913).

    Args:
        sizes: of the layer.
        nearest: entries that a query reads.
        entries: entries (tokens) kept at most, None for all.
        join: gate or softmax.
        initial_share: start of the gate, in (0, 1), None chooses; its logit is where the bias of softmax starts.
        store: memory or disk: where an archive without bound lies while documents are read without gradient.
        search: torch or faiss.
    """

    def __init__(
        self,
        sizes: LayerSizes,
        nearest: int = 32,
        entries: int | None = None,
        join: Join = "gate",
        initial_share: float | None = None,
        store: Store = "memory",
        search: str = "torch",
    ) -> None:
        super().__init__(sizes)
        require_positive(nearest=nearest)
        if entries is not None:
            require_positive(entries=entries)
        if join not in get_args(Join):
            raise ValueError(f"memory option join={join!r}: choose one of {get_args(Join)}")
        if store not in get_args(Store) or search not in SEARCHES:
            raise ValueError(
                f"memory options store={store!r}, search={search!r}: choose of {get_args(Store)} and {tuple(SEARCHES)}"
            )
        if store == "disk" and entries is not None:
            raise ValueError(f"store='disk' is for an archive without bound; leave out entries={entries}")
        if search == "faiss":
            import_faiss()
        self.store: Store = store
        self.search = search
        self.nearest, self.entries, self.join = nearest, entries, join
        self.initial_logit = start_of_share(initial_share, sizes)
        self.gate_logits = nn.Parameter(torch.empty(sizes.heads)) if join == "gate" else None
        self.archive_bias = nn.Parameter(torch.empty(sizes.heads)) if join == "softmax" else None
        self.reset_parameters()

    @classmethod
    def sized(cls, sizes: LayerSizes, size: int, options: Mapping[str, Any]) -> dict[str, Any]:
        """One entry per unit, which bounds the archive."""
        return {"entries": size}

    def reset_parameters(self) -> None:
        """Every head starts with the same share, or bias."""
        if self.gate_logits is not None:
            nn.init.constant_(self.gate_logits, self.initial_logit)
        if self.archive_bias is not None:
            full = self.sizes.sees_order or self.sizes.pools
            nn.init.constant_(self.archive_bias, 0.0 if full else self.initial_logit)

    def outlasts_a_segment(self) -> bool:
        """If the archive has room for more than a segment."""
        return self.entries is None or self.entries > self.sizes.segment_length

    def initial_state(self, batch: int, like: Tensor) -> State:
        """An archive without entries, or with room for all that it may hold."""
        shape = (batch, self.sizes.key_value_heads, self.entries or 0, self.sizes.head_dim)
        return {"keys": empty(like, *shape), "values": empty(like, *shape), "filled": counter(batch, like)}

    def write(self, state: State, segment: Segment) -> State:
        """Append the segment; in a bounded archive the oldest make room."""
        filled = state["filled"]
        return {
            "keys": self._append(state["keys"], segment.keys, filled),
            "values": self._append(state["values"], segment.values, filled),
            "filled": filled_after(filled, segment.keys.shape[2], self.entries),
        }

    def _append(self, archive: Tensor, new: Tensor, filled: Tensor) -> Tensor:
        learning = torch.is_grad_enabled() and (archive.requires_grad or new.requires_grad)
        # Elsewhere than on a CPU one would have to wait for the numbers to see whether all documents have as many.
        if learning or self.entries is not None or archive.device.type != "cpu":
            if self.store == "disk" and not learning:
                raise ValueError(
                    f"store='disk' keeps the archive where a CPU reads it; the model is on {archive.device}"
                )
            return append(archive, new, filled, self.entries)
        if bool((filled < archive.shape[2]).any()):
            return append(archive, new, filled, None)
        return append_in_place(archive, new, self.store)

    def retrieve(self, state: State, queries: Tensor) -> tuple[Retrieved, ...]:
        """Attention over the nearest entries of each query."""
        keys, values = state["keys"], state["values"]
        valid = archived(keys, state["filled"], self.entries)
        together = "batch (groups heads) tokens dim -> batch groups (heads tokens) dim"
        scaled = rearrange(queries.to(keys.dtype), together, groups=keys.shape[1]) * self.sizes.scale
        logits, found = nearest_entries(scaled, keys, values, valid, self.nearest, self.search)
        apart = "batch groups (heads tokens) ... -> batch (groups heads) tokens ..."
        logits, found = (rearrange(x, apart, tokens=queries.shape[2]) for x in (logits, found))
        anything = valid.any(1)[:, None, None, None]
        weights = logits.masked_fill(~anything, 0.0).softmax(-1)
        read = (weights[..., None, :] @ found).squeeze(-2)
        if self.archive_bias is None:
            return (Mixed(read, self._share() * anything),)
        log_weight = logits.masked_fill(~anything, 0.0).logsumexp(-1, keepdim=True) + self.archive_bias[:, None, None]
        return (Joined(read, log_weight.masked_fill(~anything, -torch.inf)),)

    def _share(self) -> Tensor:
        assert self.gate_logits is not None
        return self.gate_logits.sigmoid()[:, None, None]
