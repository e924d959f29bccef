"""Composition: two designs or more in one layer, such as `windowed+linear`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast, final

import torch
from torch import Tensor, nn

from memenc.memory.base import LayerMemory
from memenc.memory.values import Entries, LayerSizes, Retrieved, Scanned, Segment, SegmentGroup, State, WritePlan
from memenc.state import part_of


@final
class CompositeMemory(LayerMemory):
    """Every part keeps and writes its own state; a segment reads the entries of all, and what each looks up.

    Source: a local cache beside a recurrent memory is what works best in Bulatov et al. 2022 (arXiv:2207.06881, "TXL +
    RMT") and Munkhdalai et al. 2024 (arXiv:2404.07143).

    Args:
        sizes: of the layer.
        parts: memories by name, in the order in which their entries stand and in which what they look up joins.
    """

    def __init__(self, sizes: LayerSizes, parts: Mapping[str, LayerMemory]) -> None:
        super().__init__(sizes)
        self.parts = nn.ModuleDict(parts)

    @property
    def memories(self) -> dict[str, LayerMemory]:
        """The parts by name."""
        return {name: cast(LayerMemory, part) for name, part in self.parts.items()}

    def outlasts_a_segment(self) -> bool:
        """If any part does."""
        return any(part.outlasts_a_segment() for part in self.memories.values())

    def initial_state(self, batch: int, like: Tensor) -> State:
        """States of all parts, named after them."""
        return self._joined(lambda name, part: part.initial_state(batch, like))

    def write(self, state: State, segment: Segment) -> State:
        """Write every part."""
        return self._joined(lambda name, part: part.write(part_of(state, name), segment))

    def reset_parameters(self) -> None:
        """Every part to its own start."""
        for part in self.memories.values():
            part.reset_parameters()

    def read(self, state: State) -> Entries | None:
        """Entries of all parts, one behind the other."""
        return _side_by_side([part.read(part_of(state, name)) for name, part in self.memories.items()])

    def positions(self, device: torch.device) -> Tensor | None:
        """Positions of all entries."""
        found = [places for part in self.memories.values() if (places := part.positions(device)) is not None]
        return torch.cat([places.float() for places in found]) if found else None

    def row_bias(self) -> Tensor | None:
        """That of the part which has tokens in the rows."""
        return next((bias for part in self.memories.values() if (bias := part.row_bias()) is not None), None)

    def retrieve(self, state: State, queries: Tensor) -> tuple[Retrieved, ...]:
        """What the parts look up, in their order."""
        return tuple(
            found for name, part in self.memories.items() for found in part.retrieve(part_of(state, name), queries)
        )

    def scan(self, state: State, segments: SegmentGroup, plan: WritePlan) -> Scanned:
        """Run every part along the group in its own way."""
        scanned = {name: part.scan(part_of(state, name), segments, plan) for name, part in self.memories.items()}
        losses = [each.loss for each in scanned.values() if each.loss is not None]
        return Scanned(
            tuple(line for each in scanned.values() for line in each.lines),
            tuple(found for each in scanned.values() for found in each.retrieved),
            self._joined(lambda name, part: scanned[name].state),
            torch.stack(losses).sum(0) if losses else None,
        )

    def _joined(self, state_of: Callable[[str, LayerMemory], State]) -> State:
        return {
            f"{name}.{key}": tensor
            for name, part in self.memories.items()
            for key, tensor in state_of(name, part).items()
        }


def _side_by_side(found: list[Entries | None]) -> Entries | None:
    there = [entries for entries in found if entries is not None]
    if not there:
        return None
    heads = next((len(entries.bias) for entries in there if entries.bias is not None), 1)
    return Entries(
        torch.cat([entries.keys for entries in there], dim=2),
        torch.cat([entries.values for entries in there], dim=2),
        torch.cat([entries.valid for entries in there], dim=1),
        torch.cat(
            [
                entries.keys.new_zeros(heads, entries.keys.shape[2]) if entries.bias is None else entries.bias
                for entries in there
            ],
            dim=1,
        ),
    )
