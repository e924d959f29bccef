"""Read a document once, ask it questions: a trained model for question answering as an object."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast, final

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from memenc.data.offsets import PlacedTokens
from memenc.data.tokens import tokenize_document
from memenc.saved import kept_beside, load_whole
from memenc.state import MemoryState, fingerprint_of_weights
from memenc.storage.files import check_sealed, whole_folder, write_whole
from memenc.tasks import MemencForMultipleChoice, MemencForQuestionAnswering, ReadDocuments
from memenc.tasks.spans import SpanLogits, best_spans
from memenc.training.tasks import TASKS
from memenc.training.tasks.answers import AnswerFound, answer_of, label_answer
from memenc.training.tasks.base import padded

TOKENS_PER_CALL = 16_384
QUESTIONS_PER_CALL = 16


@dataclass(frozen=True)
class Trained:
    """What every way of answering needs: model, tokenizer, and what the folder remembers of the task."""

    model: Any
    tokenizer: PreTrainedTokenizerBase
    kept: dict[str, Any]

    @cached_property
    def room(self) -> int:
        """Tokens of the longest question."""
        room = TASKS[self.kept["task"]].restored(self.kept).question_room(self.model)
        assert room is not None
        return room

    @cached_property
    def fingerprint(self) -> str:
        """Of the kind of model and every weight."""
        return fingerprint_of_weights(type(self.model).__name__, self.model.state_dict())

    def ids(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Token ids and mask (texts, tokens) of short texts, on the model's device."""
        table, mask = padded([tokenize_document(text, self.tokenizer) for text in texts])
        return table.to(self.model.device), mask.to(self.model.device)

    def pieces(self, ids: np.ndarray, tokens: int) -> list[Tensor]:
        """Own tokens (1, tokens) of one document in pieces, on the model's device; an empty one has one."""
        table = torch.from_numpy(ids.astype(np.int64)).to(self.model.device)[None]
        return list(table.split(max(1, tokens), 1)) if table.shape[1] else [table]


class Answering(ABC):
    """What is kept of a document, and how questions are put to it; a plain value."""

    trained: Trained

    @abstractmethod
    def read(self, text: str) -> Answering:
        """After reading more text."""

    @abstractmethod
    def ask(self, questions: Sequence[str], options: Sequence[str] | None) -> list[AnswerFound]:
        """An answer to every question."""

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
    def ask(self, questions: Sequence[str], options: Sequence[str] | None) -> list[AnswerFound]:
        """Read the document with each question; its token states are never held as a whole."""
        if options is not None:
            raise ValueError("this model answers with spans of the document, it takes no options")
        return [self._ask(question) for question in questions]

    def _ask(self, question: str) -> AnswerFound:
        model, (ids, _) = self.trained.model, self.trained.ids([question])
        count = len(tokenize_document(question, self.trained.tokenizer))
        room = model.memenc.own_tokens_beside(count)
        memory, starts, ends = None, [], []
        # Pieces of whole segments: the states of their tokens are final.
        tokens = max(1, TOKENS_PER_CALL // max(1, room)) * max(1, room)
        output = None
        for piece in self.trained.pieces(self.placed.ids, tokens):
            output = model(piece, question_ids=ids[:, :count], memory=memory)
            memory = output.memory
            starts.append(output.start_logits)
            ends.append(output.end_logits)
        assert output is not None
        logits = SpanLogits(torch.cat(starts, 1), torch.cat(ends, 1), output.no_answer_logits)
        words = torch.from_numpy(self.placed.words)[None].to(logits.start.device)
        spans, total = best_spans(logits, self.trained.kept["max_answer_tokens"], words), logits.log_total()
        score, none = (float((each - total).exp()) for each in (spans.score, logits.none))
        return answer_of(self.placed, int(spans.start), int(spans.end), score, none, room)

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
        kept = self.kept
        for piece in self.trained.pieces(tokenize_document(text, self.trained.tokenizer), TOKENS_PER_CALL):
            kept = self.trained.model.read(piece, before=kept)
        return replace(self, kept=kept)

    @torch.no_grad()
    def ask(self, questions: Sequence[str], options: Sequence[str] | None) -> list[AnswerFound]:
        """Put the questions to what was kept, some side by side."""
        self._check(options)
        answers: list[AnswerFound] = []
        for start in range(0, len(questions), QUESTIONS_PER_CALL):
            answers += self._ask(questions[start : start + QUESTIONS_PER_CALL], options)
        return answers

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

    def _ask(self, questions: Sequence[str], options: Sequence[str] | None) -> list[AnswerFound]:
        assert self.kept is not None
        read, asked = self.kept.select([0] * len(questions)), self.trained.ids(questions)
        if options is None:
            output = self.trained.model.ask(read, *asked)
            found = zip(output.logits.softmax(-1).tolist(), output.evidence.tolist(), strict=True)
            return [label_answer(self.trained.kept["names"], *each) for each in found]
        table = [each.expand(len(questions), -1, -1) for each in self.trained.ids(options)]
        output = self.trained.model.ask(read, *asked, *table)
        logits, evidence = cast(Tensor, output.logits), cast(Tensor, output.evidence)
        chosen = evidence[torch.arange(len(questions)), logits.argmax(1)]
        found = zip(logits.softmax(-1).tolist(), chosen.tolist(), strict=True)
        return [label_answer(options, *each) for each in found]

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
        if memory.fingerprint != self.trained.model.memenc.fingerprint or written != self.trained.fingerprint:
            raise ValueError(f"{folder} was written by another model; read the document again")
        return replace(self, kept=ReadDocuments(memory.to(device), **tensors))


class QuestionAnswerer:
    """Answers questions about one document of any length with a model that `memenc train` wrote.

    With the question in every segment the document is read again with each question, and answers are spans of it; with
    the question last, and for multiple choice, it is read once and every question costs its own tokens.

    Args:
        path: folder written by `memenc train --task question-answering` or multiple-choice.
        device: where to compute.

    Raises:
        ValueError: it is no such folder.
    """

    def __init__(self, path: str | Path, device: str = "cpu") -> None:
        kept = kept_beside(path)
        head = TASKS[kept["task"]].head if kept.get("task") in TASKS else None
        if head not in (MemencForQuestionAnswering, MemencForMultipleChoice):
            raise ValueError(
                f"{path} holds a model for {kept.get('task', 'sequence-classification')}, not for questions"
            )
        model = load_whole(head, path)
        model.to(torch.device(device))  # pyright: ignore[reportArgumentType] transformers hides the signature
        trained = Trained(model, AutoTokenizer.from_pretrained(path), kept)
        spans = kept.get("question_position") == "every_segment"
        nothing = PlacedTokens.of("", trained.tokenizer) if spans else None
        self._fresh: Answering = (
            AnsweringFromMemory(trained) if nothing is None else AnsweringFromText(trained, nothing)
        )
        self._answering: Answering | None = None

    def read(self, document: str, more: bool = False) -> None:
        """Read a document, or with `more` go on with the one before."""
        if not isinstance(document, str):
            raise ValueError(f"read needs one document, a text; received {type(document).__name__}")
        before = self._answering if more and self._answering is not None else self._fresh
        self._answering = before.read(document)

    def ask(self, question: str, options: Sequence[str] | None = None) -> AnswerFound:
        """Answer one question: text, characters in the document, probability and the segment it stands in.

        Raises:
            ValueError: nothing was read, a question longer than a segment, or options where there must be none.
        """
        return self.ask_all([question], options)[0]

    def ask_all(self, questions: Sequence[str], options: Sequence[str] | None = None) -> list[AnswerFound]:
        """Answer several questions, some side by side; options are the same for all of them.

        Raises:
            ValueError: as for `ask`.
        """
        if isinstance(questions, str):
            raise ValueError("ask_all received one text; give a list of questions, or use ask")
        if isinstance(options, str):
            raise ValueError(f"options must be a list of texts, received one text: {options[:40]!r}")
        read, trained = self._read(), self._fresh.trained
        for question in questions:
            if not isinstance(question, str) or not question.strip():
                raise ValueError(f"a question must be a text that is not empty, received {question!r}")
            count = len(tokenize_document(question, trained.tokenizer))
            if count > trained.room:
                raise ValueError(
                    f"the question {question[:40]!r} has {count} tokens, but a segment has room for {trained.room}; "
                    "shorten it, or train with a longer --segment-length"
                )
        return read.ask(list(questions), options)

    def save(self, folder: str | Path) -> None:
        """Write what was read, whole or not at all, to go on asking later."""
        read = self._read()
        with whole_folder(Path(folder)) as temporary:
            read.save(temporary)

    def load(self, folder: str | Path) -> None:
        """Go on with what `save` wrote.

        Raises:
            ValueError: another model wrote it, or it is damaged.
        """
        check_sealed(Path(folder))
        self._answering = self._fresh.load(Path(folder))

    def _read(self) -> Answering:
        if self._answering is None:
            raise ValueError("nothing was read yet: call read(document) or load(folder) first")
        return self._answering
