"""Embeddings of documents, trained on pairs: pairs that belong together, or pairs with their similarity."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Self, cast, final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers.utils.generic import ModelOutput

from memenc.data.records import Record, Understanding
from memenc.lockstep import number_of_processes
from memenc.tasks import TextPairOutput
from memenc.tasks.text_pairs import contrastive_loss
from memenc.training.pair_metrics import retrieval_scores, similarity_scores
from memenc.training.tasks.base import TaskOptions
from memenc.training.tasks.objective import Item, Mean, Parts, Run
from memenc.training.tasks.pairs import LABEL, Pairs, PairTask


class ComparedPairs(Pairs):
    """Documents with another one, and perhaps the similarity of the two under "label"."""

    def check(self, record: Record) -> None:
        """Refuse another that is no text, and a similarity that is no cosine."""
        super().check(record)
        similarity_of(record)


class Embedding(PairTask):
    """What both kinds of pairs share: the head has no parameters, the context representation is what is trained."""

    name = "embedding"

    @classmethod
    def of(cls, records: Sequence[Record], options: TaskOptions) -> Any:
        """Pairs with similarities if the records have them, else pairs that belong together.

        Raises:
            ValueError: only some have one, or all and a temperature.
        """
        known = [similarity_of(record) is not None for record in records]
        if any(known) and not all(known):
            line = records[known.index(False)].line
            raise ValueError(
                f"line {line}: a pair without {LABEL!r}, others have one; give every pair its similarity from -1 "
                "to 1, or none of them. Nobody knows which are wrong, so none is skipped (--on-bad-record)"
            )
        if all(known) and options.temperature != TaskOptions().temperature:
            raise ValueError(
                f"--temperature {options.temperature} changes nothing where pairs have their similarity; leave it out"
            )
        return SimilarPairs() if all(known) else MatchingPairs.trained_with(options)

    @classmethod
    def used(cls, options: TaskOptions) -> tuple[str, ...]:
        """What cosines are divided by."""
        return ("temperature",)

    @classmethod
    def restored(cls, kept: dict[str, Any]) -> Any:
        """The task from what a folder remembers."""
        return MatchingPairs(kept["temperature"]) if kept["pair_loss"] == "contrastive" else SimilarPairs()

    @classmethod
    def understanding(cls, labelled: bool, options: TaskOptions) -> Callable[[], Understanding]:
        """Two documents, and perhaps their similarity."""
        return ComparedPairs

    def predictions(self, model: Any, output: ModelOutput, items: Sequence[Item]) -> list[np.ndarray]:
        """Both embeddings of every pair, (2, hidden), of length 1."""
        both = cast(Tensor, torch.stack([output["first"], output["second"]], dim=1)).float()
        return list(functional.normalize(both, dim=2).cpu().numpy())

    def answers(self, item: Item, prediction: np.ndarray) -> Iterator[dict[str, Any]]:
        """Similarity of the two documents of a pair."""
        yield {"id": item["id"], "line": item["line"], "similarity": float(prediction[0] @ prediction[1])}


@final
class SimilarPairs(Embedding):
    """Pairs with their similarity from -1 to 1, learned by squared error of the cosine."""

    main_score = "spearman"

    def kept(self) -> dict[str, Any]:
        """The kind of pairs."""
        return {"pair_loss": "cosine"}

    def model_options(self) -> dict[str, Any]:
        """The kind of pairs."""
        return self.kept()

    def truth(self, item: Item) -> float:
        """The similarity."""
        return item["labels"]

    def scores(self, predictions: Sequence[Any], truths: Sequence[Any]) -> dict[str, float]:
        """Spearman correlation."""
        both = np.stack(predictions)
        return similarity_scores((both[:, 0] * both[:, 1]).sum(1), np.asarray(truths))

    def _wanted(self, record: Record, source: str) -> Item:
        similarity = similarity_of(record)
        if similarity is None:
            raise ValueError(f"{source}, line {record.line}: a pair without {LABEL!r}, its similarity from -1 to 1")
        return {"labels": similarity}


@final
class MatchingPairs(Embedding):
    """Pairs that belong together; all others of an optimiser step do not.

    Source: InfoNCE, van den Oord et al. 2018 (arXiv:1807.03748); every part of a step is embedded twice, so that the
    loss sees the whole step in the memory of one part, Gao et al. 2021 (arXiv:2101.06983).

    Args:
        temperature: cosines are divided by it.
    """

    main_score = "mean_reciprocal_rank"
    fewest_to_choose_by = 10

    def __init__(self, temperature: float) -> None:
        self.temperature = temperature

    @classmethod
    def trained_with(cls, options: TaskOptions) -> Self:
        """With the temperature asked for.

        Raises:
            ValueError: there are several processes.
        """
        if number_of_processes() > 1:
            raise ValueError(
                "embedding learns pairs without similarities from the other pairs of a step, which must be in one "
                "process; train with one, or give every pair its similarity as 'label'"
            )
        return cls(options.temperature)

    def kept(self) -> dict[str, Any]:
        """The kind of pairs, and the temperature."""
        return {"pair_loss": "contrastive", "temperature": self.temperature}

    def model_options(self) -> dict[str, Any]:
        """The kind of pairs, and the temperature."""
        return {"pair_loss": "contrastive", "pair_temperature": self.temperature}

    def losses(self, parts: Parts, run: Run, items: Sequence[Item], mean: Mean) -> Iterator[Tensor]:
        """One loss over all pairs of the step; activations are kept of one part at a time."""
        there = list(parts)
        embed = run if len(there) == 1 else partial(checkpoint, run, use_reentrant=False)
        read = [(len(indices) / len(items), cast(TextPairOutput, embed(part))) for indices, part in there]
        first, second = (torch.cat([cast(Tensor, output[name]) for _, output in read]) for name in ("first", "second"))
        loss, _ = contrastive_loss(first, second, self.temperature)
        own = [output.auxiliary_loss * share for share, output in read if output.auxiliary_loss is not None]
        yield loss if not own else loss + torch.stack(own).sum()

    def truth(self, item: Item) -> bytes:
        """Tokens of the other document, by which it is known."""
        return item["pair_input_ids"].tobytes()

    def scores(self, predictions: Sequence[Any], truths: Sequence[Any]) -> dict[str, float]:
        """How well every first document finds its other one among all."""
        both = np.stack(predictions)
        return retrieval_scores(both[:, 0], both[:, 1], truths, self.temperature)

    def _wanted(self, record: Record, source: str) -> Item:
        return {}


def similarity_of(record: Record) -> float | None:
    """The similarity of a pair, None where nobody said.

    Raises:
        ValueError: it is no number from -1 to 1.
    """
    value = record.rest.get(LABEL)
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not -1 <= number <= 1:
        raise ValueError(
            f"{LABEL!r} must be a similarity from -1 to 1, found {str(value)[:40]!r}; classes of pairs are learned by "
            "--task pair-classification"
        )
    return number
