"""A trained model as a folder: write it, read it, and read documents with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from memenc.data.collate import padded
from memenc.data.records import Record
from memenc.data.tokens import instruction_tokens, tokenize_document, tokenizer_to_save
from memenc.estimator import DEFAULT_TASK
from memenc.model import memenc_of
from memenc.pretrained import MemencPreTrainedModel
from memenc.saved import ESTIMATOR_FILE, damaged, kept_beside, load_whole
from memenc.state import fingerprint_of_weights
from memenc.storage.files import whole_folder
from memenc.training.run import answers_of
from memenc.training.tasks import Examples, Task, task_named


@dataclass(frozen=True)
class Trained:
    """What `memenc train` leaves behind.

    Args:
        model: fine-tuned, with the head of the task.
        tokenizer: of its backbone.
        task: what it does.
    """

    model: MemencPreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    task: Task

    def read(
        self, records: list[Record], source: str, labelled: bool, problems: list[str] | None = None
    ) -> tuple[Examples, list[Any]]:
        """What was read for records, and what the model says of it; `problems` as in :meth:`Task.examples`."""
        examples = self.task.examples(records, source, self.tokenizer, labelled, model=self.model, problems=problems)
        return examples, answers_of(self.model, self.task, examples)

    def tokens_read(self, examples: Examples) -> int:
        """Tokens of the documents that were read for examples; one that is asked again is not read again."""
        return sum(examples.document_lengths if self.task.asks_again else examples.read_lengths)

    def ids(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Token ids and mask (texts, tokens) of short texts, on the model's device."""
        table, mask = padded([tokenize_document(text, self.tokenizer) for text in texts])
        return table.to(self.model.device), mask.to(self.model.device)

    @cached_property
    def fingerprint(self) -> str:
        """Of the kind of model and every weight."""
        return fingerprint_of_weights(type(self.model).__name__, self.model.state_dict())


def save_trained(path: Path, trained: Trained, parameters: dict[str, Any]) -> None:
    """Write a folder that transformers reads too, without a pickle; LongDocumentClassifier reads it if it classifies.

    Args:
        path: folder.
        trained: what to write.
        parameters: of LongDocumentClassifier, whatever the task: backbone, memory and training.
    """
    kept = {"task": trained.task.name, **trained.task.kept(), "parameters": parameters}
    with whole_folder(path) as folder:
        trained.model.save_pretrained(folder)
        tokenizer_to_save(trained.tokenizer).save_pretrained(folder)
        (folder / ESTIMATOR_FILE).write_text(json.dumps(kept, indent=2), encoding="utf-8")


def load_trained(
    path: str | Path, device: torch.device, task: str | None = None, instruction: str | None = None
) -> Trained:
    """Read a folder written by `memenc train` or LongDocumentClassifier.save_pretrained.

    Args:
        path: folder.
        device: where to compute.
        task: that it must have been trained for; None takes any.
        instruction: in the place of the one that it was trained with; None leaves that.

    Raises:
        ValueError: it is no such folder, is damaged, or was trained for another task; an instruction without room.
    """
    kept = kept_beside(path)
    try:
        name = kept.get("task", DEFAULT_TASK)
        restored = task_named(name).restored(kept)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(path, error) from error
    if task not in (None, name):
        raise ValueError(f"--task {task}: {path} was trained for {name}; leave --task out, or give another folder")
    model = load_whole(restored.head, path)
    model.to(device)  # pyright: ignore[reportArgumentType] transformers hides the signature
    tokenizer = AutoTokenizer.from_pretrained(path)
    if instruction is not None:
        memenc_of(model).instruct(instruction_tokens(instruction, tokenizer))
    return Trained(model, tokenizer, restored)
