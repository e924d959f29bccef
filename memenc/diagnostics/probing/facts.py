"""Facts to plant in documents: short texts of a few classes, and segments to hide them in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from memenc.data.decisive_sentence import generate
from memenc.data.tokens import tokenize_document

# Enough that hardly two documents tell the same sentence.
GENERATED = 256


@dataclass(frozen=True)
class Facts:
    """What documents are told and asked for.

    Args:
        ids: own tokens of every fact, (tokens,) each.
        labels: class of every fact.
        names: of the classes.
    """

    ids: tuple[Tensor, ...]
    labels: tuple[int, ...]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.names) < 2 or set(self.labels) != set(range(len(self.names))):
            raise ValueError(f"facts of the classes {list(self.names)}: give facts of at least two classes")
        told: dict[tuple[int, ...], int] = {}
        for ids, label in zip(self.ids, self.labels, strict=True):
            other = told.setdefault(tuple(ids.tolist()), label)
            if other != label:
                raise ValueError(
                    f"facts of {self.names[other]!r} and {self.names[label]!r} are the same tokens: the tokenizer does "
                    "not know their words; give facts in words that it knows"
                )

    @classmethod
    def of(cls, texts: Sequence[str], labels: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> Facts:
        """Facts in words."""
        names = tuple(sorted(set(labels)))
        ids = tuple(torch.from_numpy(tokenize_document(text, tokenizer).astype("int64")) for text in texts)
        return cls(ids, tuple(names.index(label) for label in labels), names)

    @classmethod
    def generated(cls, tokenizer: PreTrainedTokenizerBase, seed: int = 0) -> Facts:
        """Sentences about what became of an application, of four classes (`memenc.data.decisive_sentence`)."""
        made = generate(GENERATED, 1, "test", "fixed", seed)
        return cls.of([document.sentence for document in made], [document.label for document in made], tokenizer)

    @property
    def chance(self) -> float:
        """Accuracy of guessing."""
        return 1 / len(self.names)

    def fitting(self, tokens: int) -> Facts:
        """Those of at most so many tokens.

        Raises:
            ValueError: too few of them are that short.
        """
        short = [index for index, ids in enumerate(self.ids) if 0 < len(ids) <= tokens]
        kept = {self.labels[index] for index in short}
        if kept != set(self.labels):
            raise ValueError(
                f"a segment has room for {tokens} tokens, and not every class has a fact that short; give shorter facts"
            )
        return Facts(
            tuple(self.ids[index] for index in short), tuple(self.labels[index] for index in short), self.names
        )

    def drawn(self, documents: int, generator: torch.Generator) -> tuple[list[Tensor], list[int]]:
        """A fact for each document and its class, in random order, all classes equally often as far as possible."""
        order = torch.randperm(documents, generator=generator).tolist()
        # Which classes come once more is a matter of chance, too: guessing the first would else pay.
        classes = torch.randperm(len(self.names), generator=generator).tolist()
        labels = [classes[number % len(classes)] for number in order]
        groups = [
            [ids for ids, own in zip(self.ids, self.labels, strict=True) if own == x] for x in range(len(self.names))
        ]
        picks = torch.randint(2**31, (documents,), generator=generator).tolist()
        return [groups[label][pick % len(groups[label])] for label, pick in zip(labels, picks, strict=True)], labels


def planted(segments: Tensor, facts: Sequence[Tensor], generator: torch.Generator) -> Tensor:
    """Segments (documents, tokens), each with a fact written over some of its tokens at a random place."""
    told = segments.clone()
    for row, ids in zip(told, facts, strict=True):
        start = int(torch.randint(len(row) - len(ids) + 1, (1,), generator=generator))
        row[start : start + len(ids)] = ids.to(row.device)
    return told


def filler(documents: Tensor, count: int, segments: int, generator: torch.Generator) -> Tensor:
    """Random segments out of documents (documents, segments, tokens), as (count, segments, tokens)."""
    pool = documents.flatten(0, 1)
    return pool[torch.randint(len(pool), (count, segments), generator=generator).to(pool.device)]
