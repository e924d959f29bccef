"""Pyramid memory: levels of ever coarser slots, and running means at the top, so that nothing is ever dropped."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import Any, cast, final

import torch
from einops import rearrange, reduce
from torch import Tensor, nn

from memenc.memory.base import LayerMemory, counter, empty, exact, newest_valid, require_positive, start_of_bias
from memenc.memory.parts.compression import Compression, Compressor
from memenc.memory.values import Entries, LayerSizes, Segment, State


@final
class PyramidMemory(LayerMemory):
    """What leaves the window is compressed `rate` to one into the first level, what leaves a level into the next.

    A slot of level l stands for ``rate ** l`` tokens. What leaves the last level joins the running means at the top:
    top slot j is the mean of the j-th part of all that ever left. Constant in size, and every token has a share.

    Source: beyond Rae et al. 2019, Compressive Transformer (arXiv:1911.05507), which drops what leaves its one level.

    Args:
        sizes: of the layer.
        window: entries kept as they were (tokens), 0 for none; best a multiple of ``rate ** levels``.
        levels: levels of slots between window and top.
        slots: slots of each level; best a multiple of ``rate ** (levels - 1)``.
        rate: entries per slot of the next level; ``rate ** levels`` must divide the segment length.
        compression: mean, max, convolution or learned_query; each level has its own.
        initial_bias: start of the learned logit bias; None chooses (see `start_of_bias`).
    """

    def __init__(
        self,
        sizes: LayerSizes,
        window: int = 256,
        levels: int = 2,
        slots: int = 64,
        rate: int = 4,
        compression: Compression = "mean",
        initial_bias: float | None = None,
    ) -> None:
        super().__init__(sizes)
        require_positive(levels=levels, slots=slots, rate=rate)
        if not isinstance(window, int) or window < 0:
            raise ValueError(f"memory option window={window!r}: give a whole number of at least 0")
        if sizes.segment_length % rate**levels:
            raise ValueError(
                f"rate ** levels = {rate}**{levels} must divide the segment length of {sizes.segment_length} tokens; "
                "take fewer levels or another rate"
            )
        _require_whole_slots(window, levels, slots, rate)
        self.window, self.levels, self.slots, self.rate = window, levels, slots, rate
        self.row_multiple = rate**levels
        self.leaving = sizes.segment_length // rate**levels
        self.top = max(number for number in range(1, slots + 1) if self.leaving % number == 0)
        # Entries lie oldest first: top, the last level, ..., the first level, window.
        self.borders = list(accumulate([self.top, *[slots] * levels, window], initial=0))
        self.initial_bias = start_of_bias(initial_bias, sizes, self.borders[-1])
        shape = (rate, sizes.key_value_heads, sizes.head_dim)
        self.compressors = nn.ModuleList([Compressor(compression, *shape) for _ in range(levels)])
        self.slot_bias = nn.Parameter(torch.empty(sizes.heads, self.top + levels * slots))
        self.window_bias = nn.Parameter(torch.empty(sizes.heads, 1)) if window else None
        self.reset_parameters()

    @classmethod
    def sized(cls, sizes: LayerSizes, size: int, options: Mapping[str, Any]) -> dict[str, Any]:
        """One entry per unit at most, in the window about `rate` times as many as in each level."""
        rate, levels = int(options.get("rate", 4)), int(options.get("levels", 2))
        entries = size + rate**levels + levels * rate ** (levels - 1)
        numbers = range(max(1, entries // (rate + levels)), 0, -1)[: rate ** (levels - 1)]
        fitting = [
            (window, slots)
            for slots in ([options["slots"]] if "slots" in options else numbers)
            for window in (
                [options["window"]] if "window" in options else _windows(entries - levels * slots, rate**levels)
            )
            if _are_whole(window, levels, slots, rate)
        ]
        # Whoever gives what fits nothing is told so when the memory is made.
        window, slots = max(fitting, key=lambda pair: pair[0] + levels * pair[1], default=(rate**levels, numbers[0]))
        return {"window": window, "slots": slots}

    def reset_parameters(self) -> None:
        """Compression starts as the mean (maximum for max); all entries start at the initial bias."""
        nn.init.constant_(self.slot_bias, self.initial_bias)
        if self.window_bias is not None:
            nn.init.constant_(self.window_bias, self.initial_bias)
        for compressor in self.compressors:
            cast(Compressor, compressor).reset_parameters()

    def initial_state(self, batch: int, like: Tensor) -> State:
        """Empty entries; in float32 at least, counts in float64: a mean stays one after any number of segments."""
        like = exact(like)
        shape = (batch, self.sizes.key_value_heads, self.borders[-1], self.sizes.head_dim)
        counts = torch.zeros(batch, self.top, dtype=torch.float64, device=like.device)
        return {
            "keys": empty(like, *shape),
            "values": empty(like, *shape),
            "counts": counts,
            "tokens": counter(batch, like),
        }

    def read(self, state: State) -> Entries:
        """Top, levels from coarse to fine, window."""
        valid = [state["counts"] > 0]
        left = self._left(state["tokens"])
        for level in range(self.levels, 0, -1):
            valid.append(newest_valid(left[level - 1].clamp(0, self.slots), self.slots))
        valid.append(newest_valid(state["tokens"].clamp(max=self.window), self.window))
        return Entries(state["keys"], state["values"], torch.cat(valid, dim=1), self.bias())

    def write(self, state: State, segment: Segment) -> State:
        """Push the segment in at the window; each level hands on what falls out of it."""
        tokens = state["tokens"] + segment.keys.shape[2]
        parts = {name: list(self._parts(state[name])) for name in ("keys", "values")}
        leaving = {"keys": segment.keys, "values": segment.values}
        for place in range(self.levels + 1, 0, -1):
            for name in leaving:
                parts[name][place], leaving[name] = _push(parts[name][place], leaving[name])
            if place > 1:
                compressor = self.compressors[self.levels + 1 - place]
                leaving["keys"], leaving["values"] = cast(Compressor, compressor)(leaving["keys"], leaving["values"])
        valid = newest_valid(self._left(tokens)[-1].clamp(0, self.leaving), self.leaving)
        per_slot = reduce(valid.double(), "batch (top part) -> batch top", "sum", top=self.top)
        counts = state["counts"] + per_slot
        for name in leaving:
            parts[name][0] = self._accumulate(parts[name][0], leaving[name], valid, counts)
        return {name: torch.cat(parts[name], dim=2) for name in parts} | {"counts": counts, "tokens": tokens}

    def bias(self) -> Tensor:
        """One number per head and slot, and one per head for the window."""
        if self.window_bias is None:
            return self.slot_bias
        return torch.cat([self.slot_bias, self.window_bias.expand(-1, self.window)], dim=1)

    def positions(self, device: torch.device) -> Tensor:
        """Each slot at the middle of its tokens, the top directly before the oldest slot."""
        begin, places = self.window, [torch.arange(-self.window, 0, device=device).float()]
        for level in range(1, self.levels + 1):
            span = self.rate**level
            age = torch.arange(self.slots - 1, -1, -1, device=device)
            places.insert(0, -begin - span * age - (span + 1) / 2)
            begin += self.slots * span
        return torch.cat([torch.full((self.top,), -begin - 1.0, device=device), *places])

    def _parts(self, entries: Tensor) -> tuple[Tensor, ...]:
        lengths = [end - begin for begin, end in zip(self.borders, self.borders[1:], strict=False)]
        return entries.split(lengths, dim=2)

    def _left(self, tokens: Tensor) -> list[Tensor]:
        """How many slots each level was ever given, and last how many entries left the last level."""
        given = [(tokens - self.window) // self.rate]
        for _ in range(self.levels - 1):
            given.append((given[-1] - self.slots) // self.rate)
        return [*given, given[-1] - self.slots]

    def _accumulate(self, means: Tensor, leaving: Tensor, valid: Tensor, counts: Tensor) -> Tensor:
        """Running means with the valid ones of `leaving` (batch, heads, leaving, dim) taken in."""
        parts = rearrange(leaving, "batch heads (top part) dim -> batch heads top part dim", top=self.top)
        present = rearrange(valid, "batch (top part) -> batch 1 top part 1", top=self.top)
        change = torch.where(present, parts - means[:, :, :, None], 0.0).sum(3)
        return means + change / counts.clamp(min=1).to(means.dtype)[:, None, :, None]


def _are_whole(window: int, levels: int, slots: int, rate: int) -> bool:
    # Entries before the document's first would share a slot with it if its tokens did not begin where a slot begins.
    before = window
    for _ in range(levels):
        if before % rate:
            return False
        before = before // rate + slots
    return True


def _require_whole_slots(window: int, levels: int, slots: int, rate: int) -> None:
    if not _are_whole(window, levels, slots, rate):
        raise ValueError(
            f"window={window} and slots={slots} do not fit rate={rate} and levels={levels}; take a multiple of "
            f"{rate**levels} for the window and one of {rate ** (levels - 1)} for the slots"
        )


def _windows(most: int, multiple: int) -> range:
    """The largest of so many entries, one of which fits."""
    return range(max(most, multiple - 1), -1, -1)[:multiple]


def _push(entries: Tensor, new: Tensor) -> tuple[Tensor, Tensor]:
    """Entries with the new ones behind, as many as there were, and what fell out in front: as many as came in."""
    line = torch.cat([entries, new], dim=2)
    return line[:, :, new.shape[2] :], line[:, :, : new.shape[2]]
