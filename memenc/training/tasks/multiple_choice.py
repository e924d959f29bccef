"""Multiple choice: options scored against a document that is read once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Self, cast, final

import numpy as np
from sklearn import metrics
from torch import Tensor
from transformers import PreTrainedTokenizerBase
from transformers.utils.generic import ModelOutput

from memenc.data.collate import padded
from memenc.data.questions import AskedQuestion, QuestionsWithOptions, called, questions_of
from memenc.data.records import Record, Understanding
from memenc.data.tokens import tokenize_document
from memenc.tasks import MemencForMultipleChoice
from memenc.tasks.final_reading import ReadDocuments
from memenc.training.tasks.answers import Choice, evidence_of, evidence_scores, highest, marked, top
from memenc.training.tasks.base import TaskOptions, parts
from memenc.training.tasks.objective import Item
from memenc.training.tasks.questions import QuestionTask, collate_read_once

# Questions put to one reading of a document; each of their options holds a copy of its state while it is scored.
QUESTIONS_PER_READING = 8


@final
class MultipleChoice(QuestionTask):
    """Documents with questions, each with options of which one is right; any number of options."""

    name = "multiple-choice"
    head = MemencForMultipleChoice
    asks_again = True
    main_score = "accuracy"

    @classmethod
    def of(cls, records: Sequence[Record], options: TaskOptions) -> Self:
        """Nothing has to be learned of the records."""
        return cls()

    @classmethod
    def restored(cls, kept: dict[str, Any]) -> Self:
        """The same for all."""
        return cls()

    def kept(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def model_options(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    @classmethod
    def understanding(cls, labelled: bool, options: TaskOptions) -> Callable[[], Understanding]:
        """Documents with questions and options; to train, the right one too."""
        return lambda: QuestionsWithOptions(labelled)

    def items(self, record: Record, source: str, tokenizer: PreTrainedTokenizerBase, labelled: bool) -> list[Item]:
        """A document and its questions, so many at a time."""
        shared: Item = {"input_ids": tokenize_document(record.text, tokenizer), "id": record.id, "line": record.line}
        items = []
        for questions in parts(questions_of(record), QUESTIONS_PER_READING):
            asked = [tokenize_document(question.text, tokenizer) for question in questions]
            options = [[tokenize_document(option, tokenizer) for option in question.options] for question in questions]
            _check_options(questions, options, f"{source}, line {record.line}")
            tokens = sum(len(ids) + len(words) for words, each in zip(asked, options, strict=True) for ids in each)
            item = {"questions": tuple(questions), "question_ids": asked, "option_ids": options, "more_tokens": tokens}
            if labelled:
                item["labels"] = [question.answer for question in questions]
                item |= evidence_of(questions, record.text, tokenizer)
            items.append(shared | item)
        return items

    def ask(self, model: Any, read: ReadDocuments, part: dict[str, Tensor]) -> ModelOutput:
        """The questions of the part, with their options."""
        fields = (part[name] for name in ("question_ids", "question_mask", "option_ids", "option_mask"))
        return model.ask(read.select(part["question_documents"]), *fields)

    def question_room(self, model: Any) -> int:
        """A token of its options fits beside it."""
        return model.memenc.own_tokens_beside(1)

    def collate(self, model: Any, items: Sequence[Item]) -> dict[str, Tensor]:
        """Documents, their questions below each other, and a table of options."""
        table = [options for item in items for options in item["option_ids"]]
        most = max(map(len, table))
        filled = [options[place] if place < len(options) else () for options in table for place in range(most)]
        option_ids, option_mask = (each.unflatten(0, (len(table), most)) for each in padded(filled))
        return collate_read_once(model, items) | {"option_ids": option_ids, "option_mask": option_mask}

    def predictions(self, model: Any, output: ModelOutput, items: Sequence[Item]) -> list[list[Choice]]:
        """The options of the highest scores for every question."""
        shares = cast(Tensor, output["logits"]).softmax(-1).cpu().numpy()
        evidence = cast(Tensor, output["evidence"]).cpu().numpy()
        found = iter(zip(shares, evidence, strict=True))
        count = self.number_of_answers
        answers = [[chosen(question.options, *next(found), count) for question in item["questions"]] for item in items]
        return marked(items, answers, model.memenc.own_tokens_per_segment)

    def truth(self, item: Item) -> list[int]:
        """Numbers of the right options."""
        return item["labels"]

    def scores(self, predictions: Sequence[Any], truths: Sequence[Any]) -> dict[str, float]:
        """Accuracy over questions, and how often answers rest on evidence that is named."""
        said = [choice.option for each in predictions for choice in each]
        right = [number for each in truths for number in each]
        accuracy = float(metrics.accuracy_score(right, said))
        return {"questions": len(said), "accuracy": accuracy, **evidence_scores(predictions)}

    def answers(self, item: Item, prediction: Sequence[Choice]) -> Iterator[dict[str, Any]]:
        """One line per question."""
        for question, choice in zip(item["questions"], prediction, strict=True):
            yield {
                "id": question.id,
                "document": item["id"],
                "line": item["line"],
                "question": question.text,
                "option": choice.option,
                "answer": question.options[choice.option],
                "probabilities": [round(share, 6) for share in choice.probabilities],
                "segment": choice.segment,
                **self.further([each.place(question.options) for each in choice.further]),
            }

    def weight(self, item: Item) -> int:
        """Questions."""
        return len(item["questions"])

    def cut(self, item: Item, start: int, end: int) -> Item:
        """Refuse: nobody knows which part of the document an option rests on."""
        raise ValueError("segment_curriculum and most_segments cannot cut documents of multiple-choice; leave them out")


def _check_options(questions: Sequence[AskedQuestion], options: Sequence[Sequence[Any]], where: str) -> None:
    for question, each in zip(questions, options, strict=True):
        for text, ids in zip(question.options, each, strict=True):
            if not len(ids):
                raise ValueError(
                    f"{where}: {called(question)}: the tokenizer keeps nothing of its option {text[:40]!r}"
                )


def chosen(options: Sequence[str], shares: np.ndarray, evidence: np.ndarray, answers: int = 1) -> Choice:
    """The most probable option and the segment on which it rests most, with the next ones as further choices."""
    probabilities = tuple(shares[: len(options)].tolist())
    found = [Choice(place, probabilities, top(evidence[place].tolist())) for place in highest(probabilities, answers)]
    return replace(found[0], further=tuple(found[1:]))
