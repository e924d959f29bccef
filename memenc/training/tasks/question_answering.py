"""Question answering: spans of documents with the question in every segment, or labels with the question last."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Self, cast, final

from torch import Tensor
from transformers import PreTrainedTokenizerBase
from transformers.utils.generic import ModelOutput

from memenc.data.collate import padded
from memenc.data.offsets import PlacedTokens
from memenc.data.questions import Answer, AskedQuestion, QuestionsWithAnswers, called, questions_of
from memenc.data.records import Record, Understanding
from memenc.data.tokens import tokenize_document
from memenc.tasks import MemencForQuestionAnswering
from memenc.tasks.final_reading import ReadDocuments
from memenc.tasks.spans import NO_ANSWER, PADDING, SpanLogits
from memenc.training.answer_metrics import answer_scores
from memenc.training.tasks.answers import (
    AnswerFound,
    evidence_of,
    evidence_scores,
    label_answer,
    marked,
    span_answers,
    spans_of,
)
from memenc.training.tasks.base import TaskOptions, documents_collator, parts
from memenc.training.tasks.objective import Item
from memenc.training.tasks.questions import QuestionTask, collate_read_once
from memenc.training.tasks.sequence_classification import named_labels


class QuestionAnswering(QuestionTask):
    """What both places of a question share."""

    name = "question-answering"
    head = MemencForQuestionAnswering
    in_document: ClassVar[bool]

    def __init__(self, options: TaskOptions) -> None:
        self.options = options

    @classmethod
    def of(cls, records: Sequence[Record], options: TaskOptions) -> Any:
        """The task at the place asked for."""
        return PLACES[options.question_position].at(records, options)

    @classmethod
    def restored(cls, kept: dict[str, Any]) -> Any:
        """The task from what a folder remembers."""
        return PLACES[kept["question_position"]].remembered(kept)

    @classmethod
    @abstractmethod
    def at(cls, records: Sequence[Record], options: TaskOptions) -> Self:
        """The task that training records describe."""

    @classmethod
    @abstractmethod
    def remembered(cls, kept: dict[str, Any]) -> Self:
        """The task from what `kept` gave."""

    @classmethod
    def used(cls, options: TaskOptions) -> tuple[str, ...]:
        """Where the question stands, and the length of spans."""
        return ("question_position", *(("max_answer_tokens",) if PLACES[options.question_position].in_document else ()))

    @classmethod
    def understanding(cls, labelled: bool, options: TaskOptions) -> Callable[[], Understanding]:
        """Documents with questions; to train, answers too, and for spans where they stand."""
        in_document = PLACES[options.question_position].in_document
        return lambda: QuestionsWithAnswers(labelled, in_document)

    def kept(self) -> dict[str, Any]:
        """Where the question stands."""
        return {
            "question_position": self.options.question_position,
            "max_answer_tokens": self.options.max_answer_tokens,
        }

    def model_options(self) -> dict[str, Any]:
        """Where the question stands."""
        return {"question_position": self.options.question_position}

    def truth(self, item: Item) -> list[tuple[str, ...]]:
        """Texts of the right answers of every question of the item."""
        return [tuple(answer.text for answer in question.answers or ()) for question in item["questions"]]

    def answers(self, item: Item, prediction: Sequence[AnswerFound]) -> Iterator[dict[str, Any]]:
        """One line per question."""
        place = {"document": item["id"], "line": item["line"]}
        for question, found in zip(item["questions"], prediction, strict=True):
            said = found.as_dict() | self.further([each.place for each in found.further])
            yield {"id": question.id, **place, "question": question.text, **said}


@final
class SpanQuestions(QuestionAnswering):
    """Questions whose answers are spans of the document, one item each."""

    in_document = True
    main_score = "f1"

    @classmethod
    def at(cls, records: Sequence[Record], options: TaskOptions) -> Self:
        """Nothing has to be learned of the records."""
        return cls(options)

    @classmethod
    def remembered(cls, kept: dict[str, Any]) -> Self:
        """The task from what `kept` gave."""
        return cls(TaskOptions(max_answer_tokens=kept["max_answer_tokens"]))

    def items(self, record: Record, source: str, tokenizer: PreTrainedTokenizerBase, labelled: bool) -> list[Item]:
        """One item per question; all share the tokens of their document."""
        placed = PlacedTokens.of(record.text, tokenizer)
        shared = {"input_ids": placed.ids, "placed": placed, "id": record.id, "line": record.line}
        items = []
        for question in questions_of(record):
            item = shared | {"questions": (question,), "question_ids": [tokenize_document(question.text, tokenizer)]}
            if labelled:
                item["spans"] = spans_of(question, placed, f"{source}, line {record.line}")
            items.append(item)
        return items

    def question_room(self, model: Any) -> int:
        """A token of the document fits beside it."""
        return model.memenc.own_tokens_beside(1)

    def collate(self, model: Any, items: Sequence[Item]) -> dict[str, Tensor]:
        """A document and a question per row, and the tokens of its answers."""
        documents = documents_collator(model)([{"input_ids": item["input_ids"]} for item in items])
        asked, mask = padded([item["question_ids"][0] for item in items])
        found = {**documents, "question_ids": asked, "question_mask": mask}
        if "spans" in items[0]:
            targets = [item["spans"] or [(NO_ANSWER, NO_ANSWER)] for item in items]
            found["start_positions"], _ = padded([[start for start, _ in spans] for spans in targets], PADDING)
            found["end_positions"], _ = padded([[end for _, end in spans] for spans in targets], PADDING)
        return found

    def predictions(self, model: Any, output: ModelOutput, items: Sequence[Item]) -> list[list[AnswerFound]]:
        """The best spans of every item, or none where that is more probable."""
        logits = SpanLogits(
            *(cast(Tensor, output[name]) for name in ("start_logits", "end_logits", "no_answer_logits"))
        )
        rooms = [model.memenc.own_tokens_beside(len(item["question_ids"][0])) for item in items]
        placed, longest = [item["placed"] for item in items], self.options.max_answer_tokens
        return [[found] for found in span_answers(logits, placed, rooms, longest, self.number_of_answers)]

    def scores(self, predictions: Sequence[Any], truths: Sequence[Any]) -> dict[str, float]:
        """Exact match and F1 as SQuAD 2 has them."""
        said = [found.text for each in predictions for found in each]
        return answer_scores(said, [gold for each in truths for gold in each])

    def cut(self, item: Item, start: int, end: int) -> Item:
        """A stretch of the document: what is outside it is no answer."""
        inside = [(first - start, last - start) for first, last in item["spans"] if first >= start and last < end]
        return item | {"input_ids": item["input_ids"][start:end], "spans": inside}


@final
class LabelQuestions(QuestionAnswering):
    """Questions whose answers are labels, one item per document: it is read once.

    Args:
        options: with the question last.
        names: answers that the training records have.
    """

    in_document = False
    asks_again = True
    main_score = "accuracy"

    def __init__(self, options: TaskOptions, names: Sequence[str]) -> None:
        super().__init__(options)
        self.names = tuple(names)

    @classmethod
    def at(cls, records: Sequence[Record], options: TaskOptions) -> Self:
        """The labels are the answers there are.

        Raises:
            ValueError: fewer than two.
        """
        questions = [question for record in records for question in questions_of(record)]
        names = sorted({answer.text for question in questions for answer in answers_or_none(question)})
        if len(names) < 2:
            raise ValueError(
                f"question-answering with the question last chooses between answers, but the data has {names}"
            )
        return cls(options, names)

    @classmethod
    def remembered(cls, kept: dict[str, Any]) -> Self:
        """The task from what `kept` gave."""
        return cls(TaskOptions(question_position="last", max_answer_tokens=kept["max_answer_tokens"]), kept["names"])

    def kept(self) -> dict[str, Any]:
        """The labels besides."""
        return {**super().kept(), "names": list(self.names)}

    def model_options(self) -> dict[str, Any]:
        """Names of the labels besides."""
        return {**super().model_options(), **named_labels(self.names)}

    def check_labels(self, record: Record) -> None:
        """Refuse answers that no training document had."""
        for question in questions_of(record):
            # That there are no answers at all is said by who reads questions.
            if question.answers is not None:
                self._label(question)

    def ask(self, model: Any, read: ReadDocuments, part: dict[str, Tensor]) -> ModelOutput:
        """The questions of the part."""
        return model.ask(read.select(part["question_documents"]), part["question_ids"], part["question_mask"])

    def items(self, record: Record, source: str, tokenizer: PreTrainedTokenizerBase, labelled: bool) -> list[Item]:
        """A document and its questions, so many at a time."""
        shared: Item = {"input_ids": tokenize_document(record.text, tokenizer), "id": record.id, "line": record.line}
        items = []
        for questions in parts(questions_of(record), QUESTIONS_PER_READING):
            asked = [tokenize_document(question.text, tokenizer) for question in questions]
            item = {"questions": tuple(questions), "question_ids": asked, "more_tokens": sum(map(len, asked))}
            if labelled:
                item["labels"] = [self._label(question, f"{source}, line {record.line}: ") for question in questions]
                item |= evidence_of(questions, record.text, tokenizer)
            items.append(shared | item)
        return items

    def question_room(self, model: Any) -> int:
        """It has a segment of its own."""
        return model.memenc.own_tokens_per_segment

    def collate(self, model: Any, items: Sequence[Item]) -> dict[str, Tensor]:
        """Documents, and their questions below each other."""
        return collate_read_once(model, items)

    def predictions(self, model: Any, output: ModelOutput, items: Sequence[Item]) -> list[list[AnswerFound]]:
        """The most probable labels of every question, and what they rest on."""
        shares = cast(Tensor, output["logits"]).softmax(-1).tolist()
        evidence = cast(Tensor, output["evidence"]).tolist()
        pairs = zip(shares, evidence, strict=True)
        count, labels = self.number_of_answers, len(self.names)
        found = iter([label_answer(self.names, share, [weights] * labels, count) for share, weights in pairs])
        answers = [[next(found) for _ in item["questions"]] for item in items]
        return marked(items, answers, model.memenc.own_tokens_per_segment)

    def scores(self, predictions: Sequence[Any], truths: Sequence[Any]) -> dict[str, float]:
        """Accuracy over questions, and how often answers rest on evidence that is named."""
        said = [found.text for each in predictions for found in each]
        right = [text in gold for text, gold in zip(said, [gold for each in truths for gold in each], strict=True)]
        return {"questions": len(right), "accuracy": sum(right) / len(right), **evidence_scores(predictions)}

    def weight(self, item: Item) -> int:
        """Questions."""
        return len(item["questions"])

    def cut(self, item: Item, start: int, end: int) -> Item:
        """Refuse: nobody knows where a label comes from."""
        raise ValueError(
            "segment_curriculum and most_segments cannot cut documents whose answers are labels; leave them out"
        )

    def truth(self, item: Item) -> list[tuple[str, ...]]:
        """Texts of the right answers, where no answer is a label too."""
        return [tuple(answer.text for answer in answers_or_none(question)) for question in item["questions"]]

    def _label(self, question: AskedQuestion, where: str = "") -> int:
        for answer in answers_or_none(question):
            if answer.text in self.names:
                return self.names.index(answer.text)
        said = ", ".join(repr(answer.text) for answer in answers_or_none(question))
        raise ValueError(f"{where}{called(question)} has the answer {said}, which no training document has")


PLACES: dict[str, type[SpanQuestions] | type[LabelQuestions]] = {"every_segment": SpanQuestions, "last": LabelQuestions}
NONE = "no answer"
# Questions put to one reading of a document; each holds a copy of the document's state while it is answered.
QUESTIONS_PER_READING = 32


def answers_or_none(question: AskedQuestion) -> tuple[Answer, ...]:
    """The right answers, or the label that stands for none."""
    return question.answers or (Answer(NONE),)
