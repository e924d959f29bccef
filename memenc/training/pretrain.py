"""Masked-language-model training on documents without labels, by the trainer of all tasks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast, final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerBase
from transformers.utils.generic import ModelOutput

from memenc.tasks.masked_lm import IGNORED
from memenc.training.documents import TokenizedDocuments
from memenc.training.settings import LORA_RANK, TrainingSettings, Way
from memenc.training.tasks import Examples
from memenc.training.tasks.base import documents_collator
from memenc.training.tasks.objective import Item, Mean, Objective, Parts, Run, part_of_loss
from memenc.typed import check_types


@dataclass(frozen=True)
class PretrainingSettings:
    """How a model learns from documents without labels.

    Args:
        adapt: what is trained: full (everything), frozen (memory and the head), lora, bitfit.
        lora_rank: of the additions that lora trains.
        epochs: passes over the documents.
        learning_rate: peak, of the backbone where all of it is trained.
        new_learning_rate: peak, of memory, and of what lora and bitfit train in the backbone.
        gate_learning_rate: peak, of the memories' gates.
        weight_decay: of matrices of the backbone and the head.
        documents_per_step: documents behind one optimiser step.
        tokens_per_batch: padded tokens that go forward and backward at once; it bounds the memory.
        mask_share: share of the tokens that are to be predicted.
        bf16: automatic mixed precision in bfloat16.
        activation_checkpointing: keep the activations of one group of segments only and compute the others again.
        seed: of initialisation, order and masks.
        save_steps: optimiser steps between two checkpoints within an epoch, for epochs that take long; 0 for none.
    """

    adapt: Way = "full"
    lora_rank: int = LORA_RANK
    epochs: float = 1
    learning_rate: float = 5e-5
    new_learning_rate: float = 1e-3
    gate_learning_rate: float = 1e-2
    weight_decay: float = 0.01
    documents_per_step: int = 8
    tokens_per_batch: int = 4_096
    mask_share: float = 0.15
    bf16: bool = False
    activation_checkpointing: bool = False
    seed: int = 0
    save_steps: int = 0

    def __post_init__(self) -> None:
        check_types(self, "pretraining setting")
        if not 0 < self.mask_share < 1:
            raise ValueError(f"--mask-share {self.mask_share}: give a share above 0 and below 1")
        if self.adapt == "prefix":
            raise ValueError(
                "--adapt prefix trains for a task and not for language; choose full, frozen, lora or bitfit"
            )
        self.as_training()

    def as_training(self) -> TrainingSettings:
        """The same for the trainer; language is never learned to the end, so nothing stops early."""
        shared = {name: value for name, value in asdict(self).items() if name != "mask_share"}
        return TrainingSettings(**shared, patience=0)


@final
class MaskedTokens(Objective):
    """Masked tokens are predicted: other ones in every epoch, or those that an item says under "labels".

    Source: Devlin et al. 2019, BERT (arXiv:1810.04805).

    Args:
        tokenizer: of the backbone; has a mask token.
        mask_share: share of the tokens that are to be predicted.

    Raises:
        ValueError: the tokenizer has no mask token.
    """

    main_score, higher_is_better, same_every_epoch = "loss", False, False

    def __init__(self, tokenizer: PreTrainedTokenizerBase, mask_share: float) -> None:
        if tokenizer.mask_token is None:
            raise ValueError(f"{type(tokenizer).__name__} has no mask token, so nothing can be masked")
        self.mask = DataCollatorForLanguageModeling(tokenizer, mlm_probability=mask_share)

    def masked(self, ids: Any) -> Item:
        """A document (tokens) with masks, and what they hide."""
        found = self.mask([{"input_ids": np.asarray(ids, dtype=np.int64)}])
        return {name: cast(Tensor, found[name])[0].numpy() for name in ("input_ids", "labels")}

    def fixed(self, documents: TokenizedDocuments, seed: int) -> Examples:
        """Documents whose masks are drawn once and for all."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return Examples([self.masked(ids) for ids in documents.token_ids])

    def collate(self, model: Any, items: Sequence[Item]) -> dict[str, Tensor]:
        """Documents with masks, and the hidden tokens."""
        ready = [item if "labels" in item else self.masked(item["input_ids"]) for item in items]
        found = documents_collator(model)([{"input_ids": item["input_ids"]} for item in ready])
        labels = torch.full_like(found["input_ids"], IGNORED)
        for row, item in enumerate(ready):
            labels[row, : len(item["labels"])] = torch.from_numpy(item["labels"])
        return {**found, "labels": labels}

    def losses(self, parts: Parts, run: Run, items: Sequence[Item], mean: Mean) -> Iterator[Tensor]:
        """Losses of the parts of a step, by how many tokens each hides, so that every hidden token counts the same."""
        # All masks are drawn before anything is read: they do not depend on how a step is cut into parts.
        there = list(parts)
        hidden = [int((part["labels"] != IGNORED).sum()) * bool(indices) for indices, part in there]
        whole, documents = mean(sum(hidden)), mean(len(items))
        for (indices, part), number in zip(there, hidden, strict=True):
            yield part_of_loss(run(part), number / (whole or 1), len(indices) / documents)

    def predictions(self, model: Any, output: ModelOutput, items: Sequence[Item]) -> list[float]:
        """Sum of the negative log probabilities of every document's hidden tokens."""
        logits = cast(Tensor, output["logits"]).float()
        hidden = [torch.from_numpy(item["labels"][item["labels"] != IGNORED]) for item in items]
        surprise = functional.cross_entropy(logits, torch.cat(hidden).to(logits.device), reduction="none")
        return [float(part.sum()) for part in surprise.split([len(part) for part in hidden])]

    def truth(self, item: Item) -> int:
        """How many tokens are hidden."""
        return int((item["labels"] != IGNORED).sum())

    def scores(self, predictions: Sequence[Any], truths: Sequence[Any]) -> dict[str, float]:
        """Mean over all hidden tokens, and its exponential."""
        loss = sum(predictions) / max(1, sum(truths))
        return {"loss": loss, "perplexity": math.exp(min(loss, 700.0)), "masked_tokens": sum(truths)}

    def cut(self, item: Item, start: int, end: int) -> Item:
        """A stretch of a document is a document."""
        return {name: values[start:end] for name, values in item.items()}
