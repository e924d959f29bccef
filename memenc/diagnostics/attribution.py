"""Which segments a decision rests on: knock out what each wrote to memory, see what the decision loses."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from memenc.data.tokens import tokenize_document
from memenc.encoder.encoded import Keep
from memenc.encoder.schedule import resolve_segments_per_call
from memenc.segments import Pending, Segments
from memenc.tasks import MemencForSequenceClassification


@dataclass(frozen=True)
class SegmentEvidence:
    """One segment of an explained document.

    Args:
        segment: number, from 0.
        loss: how much the decision's logit margin over the mean of the other labels falls when what this segment
            wrote is knocked out; negative if the segment spoke against the decision.
        text: what the segment says.
    """

    segment: int
    loss: float
    text: str


@dataclass(frozen=True)
class Explanation:
    """A decision and its evidence, strongest first."""

    label: str
    probability: float
    evidence: list[SegmentEvidence]

    def __str__(self) -> str:
        lines = [f"{self.label} (probability {self.probability:.2f})"]
        for item in self.evidence:
            text = item.text if len(item.text) <= 100 else item.text[:97] + "..."
            lines.append(f"{item.loss:+8.3f}  segment {item.segment:4d}  {text}")
        return "\n".join(lines)


@torch.no_grad()
def explain(
    model: MemencForSequenceClassification,
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    documents_per_call: int = 8,
) -> Explanation:
    """Rank the segments of one document by knock-out of their writes.

    The document is read once for every segment, as if that segment alone had never been written to any memory; later
    segments are read without it. Of a design that holds nothing (`none`) the `memory` readout sees the unfinished last
    segment alone: without it such a model is off what it was trained on, so that a decision which rests on no sentence
    in particular may be put down to that segment (benchmarks/results/explain.csv).

    Args:
        model: a fine-tuned classifier.
        tokenizer: of its backbone.
        text: one document.
        documents_per_call: readings side by side.

    Raises:
        ValueError: something other than one text, or one that has no tokens.
    """
    if not isinstance(text, str):
        raise ValueError(f"received {type(text).__name__}; give one text: every document has an explanation of its own")
    model.eval()
    ids = torch.from_numpy(tokenize_document(text, tokenizer).astype("int64"))[None].to(model.device)
    if ids.shape[1] == 0:
        raise ValueError("the document has no tokens: there is nothing to explain")
    segments = _segments(model, ids)
    whole = _logits(model, segments)[0]
    label = int(whole.argmax())
    losses: list[float] = []
    for start in range(0, segments.count, documents_per_call):
        chosen = torch.arange(start, min(start + documents_per_call, segments.count), device=ids.device)
        logits = _logits(model, without_writes_of(segments, chosen))
        losses += (_margin(whole[None], label) - _margin(logits, label)).tolist()
    own = segments.capacities[0]
    evidence = [
        SegmentEvidence(
            index, loss, str(tokenizer.decode(ids[0, index * own : (index + 1) * own], skip_special_tokens=True))
        )
        for index, loss in enumerate(losses)
    ]
    names: dict = model.config.id2label or {}
    name = names.get(label, str(label))
    ranked = sorted(evidence, key=lambda item: -item.loss)
    return Explanation(name, float(whole.softmax(-1)[label]), ranked)


def segments_of_passage(
    text: str, passage: str, tokenizer: PreTrainedTokenizerBase, own_tokens_per_segment: int
) -> range:
    """Numbers, from 0, of the segments in which the first occurrence of a passage stands: it may lie across a border.

    Args:
        text: of the document.
        passage: part of it.
        tokenizer: of the backbone.
        own_tokens_per_segment: of the model, see `MemencModel.own_tokens_per_segment`.

    Raises:
        ValueError: the text does not hold the passage.
    """
    before, found, _ = text.partition(passage)
    if not found:
        raise ValueError(f"the document does not hold {passage!r}")
    first, end = (len(tokenize_document(part, tokenizer)) for part in (before, before + passage))
    return range(first // own_tokens_per_segment, max(first, end - 1) // own_tokens_per_segment + 1)


def without_writes_of(segments: Segments, chosen: Tensor) -> Segments:
    """One document repeated for every chosen segment, each time without the write of that segment."""
    count = len(chosen)
    kept = torch.arange(segments.count, device=chosen.device) != chosen[:, None]
    repeated = {
        name: getattr(segments, name).expand(count, *getattr(segments, name).shape[1:])
        for name in ("ids", "valid", "row_index")
    }
    before = segments.pending
    pending = Pending(
        *(getattr(before, field.name).expand(count, *getattr(before, field.name).shape[1:]) for field in fields(before))
    )
    return replace(
        segments,
        **repeated,
        complete=segments.complete & kept,
        partial=segments.partial & kept,
        own_tokens=segments.own_tokens.expand(count),
        pending=pending,
        totals=segments.totals * count,
        capacity=segments.capacity.expand(count),
        capacities=segments.capacities * count,
        knocked_out=True,
    )


def _segments(model: MemencForSequenceClassification, ids: Tensor) -> Segments:
    mask = torch.ones_like(ids, dtype=torch.bool)
    return model.memenc.segments_of(ids, mask, model.memenc.encoder.initial_state(1))


def _logits(model: MemencForSequenceClassification, segments: Segments) -> Tensor:
    batch, length = len(segments.ids), model.config.segment_length
    per_call = resolve_segments_per_call(model.config.segments_per_call, segments.ids.device, batch, length)
    state = model.memenc.encoder.initial_state(batch)
    encoded = model.memenc.encoder(segments, state, per_call, Keep(token_states=False))
    vector = model.memenc.read_out(encoded.state)
    return model.classifier(vector.to(model.classifier.weight.dtype)).float()


def _margin(logits: Tensor, label: int) -> Tensor:
    """Logit of the label above the mean of the others."""
    if logits.shape[-1] == 1:
        return logits[:, 0]
    others = (logits.sum(-1) - logits[:, label]) / (logits.shape[-1] - 1)
    return logits[:, label] - others
