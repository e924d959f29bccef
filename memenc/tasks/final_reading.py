"""Documents read once, and texts that are put to what was kept of them: questions, options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from einops import einsum, repeat
from torch import Tensor, nn
from torch.nn import functional

from memenc.lead import Question
from memenc.model import MemencModel
from memenc.readout import attend_final_memory
from memenc.state import MemoryState


@dataclass(frozen=True)
class ReadDocuments:
    """Documents that were read, to be asked.

    Args:
        memory: state of reading.
        segments: (documents, segments, hidden) mean token state of every segment, by which evidence is ranked: the
            only thing here that grows with a document, by one vector a segment.
        counts: (documents,) segments of every document.
    """

    memory: MemoryState
    segments: Tensor
    counts: Tensor

    def __len__(self) -> int:
        return len(self.memory)

    def select(self, indices: Sequence[int] | Tensor) -> ReadDocuments:
        """Documents at these indices, repeated if an index is."""
        index = torch.as_tensor(indices, device=self.segments.device).long()
        return ReadDocuments(self.memory.select(index), self.segments[index], self.counts[index])

    def detach(self) -> ReadDocuments:
        """The same, cut off from the graph that computed it."""
        return replace(self, memory=self.memory.detach(), segments=self.segments.detach())


def read_documents(
    model: MemencModel, input_ids: Tensor, attention_mask: Tensor | None = None, before: ReadDocuments | None = None
) -> tuple[ReadDocuments, Tensor | None]:
    """Read documents, or read on; with the design's own auxiliary loss, if it has one.

    Args:
        model: reads.
        input_ids: (documents, tokens).
        attention_mask: (documents, tokens), 0 at padding.
        before: what was read of them.
    """
    output = model(
        input_ids,
        attention_mask,
        memory=None if before is None else before.memory,
        output_token_states=False,
        output_segment_states=True,
        output_hidden_states=False,
    )
    capacity = model.own_tokens_per_segment
    counts = -(-output.memory.tokens_seen // capacity)
    # The first segment of a call is the one that the call before left unfinished.
    done = torch.zeros_like(counts) if before is None else before.memory.tokens_seen // capacity
    fresh = output.segment_states
    longest = int(counts.max()) if len(counts) else 0
    kept = fresh.new_zeros(len(fresh), longest + 1, fresh.shape[2])
    if before is not None:
        known = min(longest, before.segments.shape[1])
        kept = torch.cat([before.segments[:, :known].to(kept), kept[:, known:]], dim=1)
    places = done[:, None] + torch.arange(fresh.shape[1], device=fresh.device)
    # Rows that a document does not have go to a spare last place.
    places = torch.where(places < counts[:, None], places, longest)
    segments = kept.scatter(1, repeat(places, "b s -> b s hidden", hidden=fresh.shape[2]), fresh)[:, :longest]
    return ReadDocuments(output.memory, segments, counts), output.auxiliary_loss


@dataclass(frozen=True)
class Found:
    """What texts found: vector (rows, hidden), and how much of it came from every segment, (rows, segments)."""

    vector: Tensor
    evidence: Tensor


class FinalReading(nn.Module):
    """Puts texts to documents that were read: one vector per text, and which segments it rests on.

    A text goes through the backbone in a segment of its own and reads the layers' memories. Its token states then
    attend to the final memory of the top layer, the unfinished segment included, and to one vector per segment, whose
    weights are the evidence. Both attentions start as similarity of token states. Costs what the text costs, whatever
    the length of the document, but for one product per segment.

    Args:
        hidden: numbers per token state.
        dropout: share of the vector set to zero.
    """

    def __init__(self, hidden: int, dropout: float) -> None:
        super().__init__()
        self.memory_query = nn.Parameter(torch.empty(hidden, hidden))
        self.evidence_query = nn.Parameter(torch.empty(hidden, hidden))
        self.combine = nn.Linear(4 * hidden, hidden)
        self.dropout = nn.Dropout(dropout)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Attention to what is alike."""
        nn.init.eye_(self.memory_query)
        nn.init.eye_(self.evidence_query)

    def forward(self, model: MemencModel, read: ReadDocuments, text: Question, lead: Question | None = None) -> Found:
        """Put one text to each document.

        Args:
            model: reads the texts.
            read: one document per text.
            text: own tokens of the texts.
            lead: what stands before each text in every segment of it, as the first of a pair.
        """
        states = model.read_beside(read.memory, text.ids, text.mask, lead)
        kind = self.combine.weight.dtype
        states, valid = states.to(kind), text.mask[..., None]
        final = model.final_memory(read.memory)
        queries = states @ self.memory_query / states.shape[-1] ** 0.5
        remembered = attend_final_memory(queries, final, model.encoder.top_memory).to(kind)
        shown, evidence = self._evidence(states, read)
        document = model.read_out(read.memory).to(kind)
        length = valid.sum(1).clamp(min=1)
        means = [torch.where(valid, each, 0.0).sum(1) / length for each in (states, remembered, shown)]
        evidence = torch.where(valid, evidence, 0.0).sum(1) / length
        vector = functional.gelu(self.combine(self.dropout(torch.cat([document, *means], dim=1))))
        return Found(self.dropout(vector), evidence)

    def _evidence(self, states: Tensor, read: ReadDocuments) -> tuple[Tensor, Tensor]:
        """What every token finds in the segments, (rows, tokens, hidden), and its weights (rows, tokens, segments)."""
        segments = read.segments.to(states.dtype)
        queries = states @ self.evidence_query / states.shape[-1] ** 0.5
        logits = einsum(queries, segments, "rows tokens hidden, rows segments hidden -> rows tokens segments")
        there = torch.arange(segments.shape[1], device=segments.device) < read.counts[:, None]
        # A document without segments would divide 0 by 0.
        weights = logits.masked_fill(~there[:, None], torch.finfo(logits.dtype).min).softmax(-1)
        weights = torch.where(there[:, None], weights, 0.0)
        found = einsum(weights, segments, "rows tokens segments, rows segments hidden -> rows tokens hidden")
        return found, weights


def evidence_loss(evidence: Tensor, counts: Tensor, starts: Tensor, ends: Tensor | None, capacity: int) -> Tensor:
    """Negative log of the weight of the segments that hold what answers rest on, 0 without any; mean over questions.

    Args:
        evidence: (questions, segments) weights.
        counts: (questions,) segments of each question's document.
        starts: (questions,) or (questions, stretches) first tokens; below 0 there is none.
        ends: last tokens, like `starts`; None for stretches of one token.
        capacity: own tokens of a segment.

    Raises:
        ValueError: a stretch that lies outside its document or ends before it starts.
    """
    starts, ends = (each[:, None] if each.dim() == 1 else each for each in (starts, starts if ends is None else ends))
    if starts.shape != ends.shape or len(starts) != len(evidence):
        raise ValueError(
            f"start_positions {tuple(starts.shape)} and end_positions {tuple(ends.shape)} must be alike, one row for "
            f"each of {len(evidence)} questions"
        )
    wrong = (starts >= 0) & ((ends < starts) | (ends // capacity >= counts[:, None]))
    if bool(wrong.any()):
        row, column = wrong.nonzero()[0].tolist()
        raise ValueError(
            f"evidence {column} of question {row} spans the tokens {int(starts[row, column])} to "
            f"{int(ends[row, column])}, but its document has {int(counts[row])} segments of {capacity}; give the first "
            "and last token of a stretch, the first below 0 for none"
        )
    segments = torch.arange(evidence.shape[1], device=evidence.device)
    first, last = (each[..., None] // capacity for each in (starts, ends))
    gold = ((starts[..., None] >= 0) & (first <= segments) & (segments <= last)).any(1)
    weight = (evidence * gold).sum(1).clamp(min=torch.finfo(evidence.dtype).tiny)
    known = gold.any(1)
    return -(weight.log() * known).sum() / max(1, len(known))
