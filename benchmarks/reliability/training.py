"""Small trainings in processes of their own, to be killed: three ways to feed a Trainer, each with dropout."""

from __future__ import annotations

import hashlib
import os
import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, Trainer, TrainerCallback, TrainingArguments, set_seed

from memenc import LongDocumentCollator, MemencForSequenceClassification
from memenc.data.tokens import tokenize_document
from memenc.diagnostics.liveness_callback import LivenessCallback
from memenc.training.checkpoints import SaveEvery, SealedCheckpoints, newest_whole
from memenc.training.documents import TokenizedDocuments
from memenc.training.run import train_classifier
from memenc.training.settings import TrainingSettings
from memenc.training.stream import EndlessDocuments
from memenc.training.tasks.base import documents_collator
from tests.tiny import TINY_MEMORY, save_tiny_backbone, tiny_documents

DOCUMENTS, EPOCHS, LENGTHS = 18, 3, (4, 60)
NUMBERS = {"good": 0, "bad": 1}


@dataclass(frozen=True)
class Job:
    """One training.

    Args:
        kind: a name in KINDS.
        folder: for the backbone, the checkpoints, what is said and the result.
        seed: of everything.
    """

    kind: str
    folder: Path
    seed: int

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints lie."""
        return self.folder / "checkpoints"

    @property
    def result(self) -> str | None:
        """SHA-256 of the weights, once it is finished."""
        file = self.folder / "weights.sha256"
        return file.read_text() if file.is_file() else None

    @property
    def said(self) -> str:
        """What the processes wrote on their standard error."""
        file = self.folder / "said"
        return file.read_text() if file.is_file() else ""


class Steps(TrainerCallback):
    """Tells another process how far the training is."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.value.value = state.global_step


def run(job: Job, steps: Any) -> None:
    """Train from the newest whole checkpoint, or from the beginning, and leave the SHA-256 of the weights."""
    job.folder.mkdir(parents=True, exist_ok=True)
    with (job.folder / "said").open("a") as said:
        os.dup2(said.fileno(), sys.stdout.fileno())
        os.dup2(said.fileno(), sys.stderr.fileno())
    torch.set_num_threads(1)
    backbone = job.folder / "backbone"
    save_tiny_backbone(backbone)
    set_seed(job.seed)
    tokenizer = AutoTokenizer.from_pretrained(backbone)
    model = MemencForSequenceClassification.from_backbone(
        str(backbone), memory_options=TINY_MEMORY, segment_length=16, tokenizer=tokenizer, num_labels=2
    )
    model.config.problem_type = "single_label_classification"
    KINDS[job.kind](job, model, tokenizer, Steps(steps))
    weights = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        weights.update(name.encode() + tensor.contiguous().numpy().tobytes())
    (job.folder / "weights.sha256").write_text(weights.hexdigest())


def tokenized(tokenizer: Any, seed: int, count: int = DOCUMENTS) -> TokenizedDocuments:
    texts, labels = tiny_documents(count, LENGTHS, seed)
    return TokenizedDocuments.from_texts(texts, tokenizer, [NUMBERS[label] for label in labels])


def train_documents(job: Job, model: Any, tokenizer: Any, steps: Steps) -> None:
    """What `memenc train` does: validation, early stopping, the best epoch kept; in half of the runs a curriculum."""
    chosen = random.Random(job.seed)
    settings = TrainingSettings(
        epochs=EPOCHS,
        new_learning_rate=1e-2,
        documents_per_step=4,
        tokens_per_batch=64,
        patience=1,
        segment_curriculum=chosen.choice(("", "1,2")),
        shortest_first=chosen.random() < 0.5,
        seed=job.seed,
        save_steps=2,
    )
    training = tokenized(tokenizer, job.seed)
    callbacks = [steps, *LivenessCallback.watching(model, training.token_ids)]
    validation = tokenized(tokenizer, job.seed + 1, 10)
    train_classifier(
        model, training, validation, settings, job.checkpoints, True, quiet=True, device="cpu", callbacks=callbacks
    )


def train_accumulated(job: Job, model: Any, tokenizer: Any, steps: Steps) -> None:
    """transformers' own Trainer on documents in memory, two batches behind every step."""
    with_trainer(job, model, steps, documents_collator(model), tokenized(tokenizer, job.seed), num_train_epochs=EPOCHS)


def train_stream(job: Job, model: Any, tokenizer: Any, steps: Steps) -> None:
    """transformers' own Trainer on a stream of texts, through several passes, two batches behind every step."""

    def source() -> Any:
        texts, labels = tiny_documents(DOCUMENTS, LENGTHS, job.seed)
        return zip(texts, labels, strict=True)

    pad = documents_collator(model)

    def collate(pairs: list[tuple[str, str]]) -> dict[str, torch.Tensor]:
        ids = [torch.from_numpy(tokenize_document(text, tokenizer)) for text, _ in pairs]
        rows = zip(ids, pairs, strict=True)
        return pad([{"input_ids": row, "labels": NUMBERS[label]} for row, (_, label) in rows])

    # A batch of two, two of them a step: beyond the third pass.
    passes = EPOCHS * DOCUMENTS // 4 + 2
    with_trainer(job, model, steps, collate, EndlessDocuments(source, job.seed, buffer=8), max_steps=passes)


def with_trainer(
    job: Job, model: Any, steps: Steps, collate: LongDocumentCollator | Any, documents: Any, **options: Any
) -> None:
    arguments = TrainingArguments(
        output_dir=str(job.checkpoints),
        per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
        learning_rate=1e-3,
        save_strategy="steps",
        save_steps=2,
        save_total_limit=2,
        seed=job.seed,
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        **options,
    )
    callbacks = [steps, SealedCheckpoints(), SaveEvery(3)]
    trainer = Trainer(model, arguments, train_dataset=documents, data_collator=collate, callbacks=callbacks)
    checkpoint = newest_whole(job.checkpoints)
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))


KINDS = {
    "documents in memory, memenc's trainer": train_documents,
    "documents in memory, accumulation": train_accumulated,
    "stream, accumulation": train_stream,
}
