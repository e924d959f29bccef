"""Ways of answering questions about a document: from its text, read anew each time, or from what was kept of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast, final

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from memenc.data.offsets import PlacedTokens
from memenc.data.tokens import tokenize_document
from memenc.model import memenc_of
from memenc.state import MemoryState
from memenc.storage.files import write_whole
from memenc.tasks import MemencForMultipleChoice, ReadDocuments
from memenc.tasks.spans import SpanLogits
from memenc.trained import Trained
from memenc.training.tasks.answers import AnswerFound, label_answer, span_answers
from memenc.training.tasks.question_answering import LabelQuestions, SpanQuestions

TOKENS_PER_CALL = 16_384
QUESTIONS_PER_CALL = 16


def pieces_of(trained: Trained, ids: np.ndarray, tokens: int) -> list[Tensor]:
    """Own tokens (1, tokens) of one document in pieces, on the model's device; an empty one has one."""
    table = torch.from_numpy(ids.astype(np.int64)).to(trained.model.device)[None]
    return list(table.split(max(1, tokens), 1)) if table.shape[1] else [table]


class Answering(ABC):
    """What is kept of a document, and how questions are put to it; a plain value."""

    trained: Trained

    @abstractmethod
    def read(self, text: str) -> Answering:
        """After reading more text."""

    @abstractmethod
    def ask(self, questions: Sequence[str], options: Sequence[str] | None, answers: int) -> list[AnswerFound]:
        """An answer to every question, `answers` of them with the further ones."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write what is kept into a folder that is there."""

    @abstractmethod
    def load(self, folder: Path) -> Answering:
        """What was kept in a folder."""


@final
@dataclass(frozen=True)
class AnsweringFromText(Answering):
    """Keeps the document's tokens and reads them with every question."""

    trained: Trained
    placed: PlacedTokens

    def read(self, text: str) -> Answering:
        """Tokenise; more text goes on where the text before ended."""
        return replace(self, placed=PlacedTokens.of(self.placed.text + text, self.trained.tokenizer))

    @torch.no_grad()
    def ask(self, questions: Sequence[str], options: Sequence[str] | None, answers: int) -> list[AnswerFound]:
        """Read the document with each question; its token states are never held as a whole."""
        if options is not None:
            raise ValueError("this model answers with spans of the document, it takes no options")
        return [self._ask(question, answers) for question in questions]

    def _ask(self, question: str, answers: int) -> AnswerFound:
        model, task = cast(Any, self.trained.model), cast(SpanQuestions, self.trained.task)
        ids, _ = self.trained.ids([question])
        count = len(tokenize_document(question, self.trained.tokenizer))
        room = model.memenc.own_tokens_beside(count)
        memory, starts, ends = None, [], []
        # Pieces of whole segments: the states of their tokens are final.
        tokens = max(1, TOKENS_PER_CALL // max(1, room)) * max(1, room)
        output = None
        for piece in pieces_of(self.trained, self.placed.ids, tokens):
            output = model(piece, question_ids=ids[:, :count], memory=memory)
            memory = output.memory
            starts.append(output.start_logits)
            ends.append(output.end_logits)
        assert output is not None
        logits = SpanLogits(torch.cat(starts, 1), torch.cat(ends, 1), output.no_answer_logits)
        (found,) = span_answers(logits, [self.placed], [room], task.options.max_answer_tokens, answers)
        return found

    def save(self, folder: Path) -> None:
        """The text is all there is to keep."""
        write_whole(folder / "document.txt", self.placed.text.encode("utf-8", "surrogatepass"))

    def load(self, folder: Path) -> Answering:
        """The text, tokenised again."""
        if not (folder / "document.txt").is_file():
            raise ValueError(f"{folder} was written by a model of another kind; read the document again")
        text = (folder / "document.txt").read_bytes().decode("utf-8", "surrogatepass")
        return replace(self, placed=PlacedTokens.of(text, self.trained.tokenizer))


@final
@dataclass(frozen=True)
class AnsweringFromMemory(Answering):
    """Reads the document once; questions read what was kept of it."""

    trained: Trained
    kept: ReadDocuments | None = None

    @torch.no_grad()
    def read(self, text: str) -> Answering:
        """Read, or read on; texts are tokenised apart."""
        kept, ids = self.kept, tokenize_document(text, self.trained.tokenizer)
        for piece in pieces_of(self.trained, ids, TOKENS_PER_CALL):
            kept = cast(Any, self.trained.model).read(piece, before=kept)
        return replace(self, kept=kept)

    @torch.no_grad()
    def ask(self, questions: Sequence[str], options: Sequence[str] | None, answers: int) -> list[AnswerFound]:
        """Put the questions to what was kept, some side by side."""
        self._check(options)
        found: list[AnswerFound] = []
        for start in range(0, len(questions), QUESTIONS_PER_CALL):
            found += self._ask(questions[start : start + QUESTIONS_PER_CALL], options, answers)
        return found

    def _check(self, options: Sequence[str] | None) -> None:
        if not isinstance(self.trained.model, MemencForMultipleChoice):
            if options is not None:
                raise ValueError("this model answers with the labels it was trained on, it takes no options")
            return
        if options is None or len(options) < 2:
            raise ValueError("this model chooses between options: give at least two with the question")
        for option in options:
            if not isinstance(option, str) or not len(tokenize_document(option, self.trained.tokenizer)):
                raise ValueError(
                    f"an option must be a text of which the tokenizer keeps something, received {option!r}"
                )

    def _ask(self, questions: Sequence[str], options: Sequence[str] | None, answers: int) -> list[AnswerFound]:
        assert self.kept is not None
        read, asked = self.kept.select([0] * len(questions)), self.trained.ids(questions)
        model = cast(Any, self.trained.model)
        if options is None:
            output, names = model.ask(read, *asked), cast(LabelQuestions, self.trained.task).names
            evidence = [[weights] * len(names) for weights in output.evidence.tolist()]
        else:
            table = [each.expand(len(questions), -1, -1) for each in self.trained.ids(options)]
            output, names = model.ask(read, *asked, *table), options
            evidence = output.evidence.tolist()
        found = zip(output.logits.softmax(-1).tolist(), evidence, strict=True)
        return [label_answer(names, *each, answers) for each in found]

    def save(self, folder: Path) -> None:
        """State and one vector per segment."""
        assert self.kept is not None
        self.kept.memory.save(folder / "state.memory")
        tensors = {"segments": self.kept.segments, "counts": self.kept.counts}
        plain = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        save_file(plain, folder / "segments.safetensors", {"model": self.trained.fingerprint})

    def load(self, folder: Path) -> Answering:
        """What was kept, if this model wrote it."""
        if not (folder / "state.memory").is_file():
            raise ValueError(f"{folder} was written by a model of another kind; read the document again")
        device, memory = self.trained.model.device, MemoryState.load(folder / "state.memory")
        with safe_open(folder / "segments.safetensors", framework="pt") as file:
            written = (file.metadata() or {}).get("model")
            tensors = {name: file.get_tensor(name).to(device) for name in file.keys()}  # noqa: SIM118 - no mapping
        # Weights count too: a model that was trained further reads another meaning into the same numbers.
        if memory.fingerprint != memenc_of(self.trained.model).fingerprint or written != self.trained.fingerprint:
            raise ValueError(f"{folder} was written by another model; read the document again")
        return replace(self, kept=ReadDocuments(memory.to(device), **tensors))
