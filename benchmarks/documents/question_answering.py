"""Questions about whole articles: memory, the same backbone segment by segment, and TF-IDF retrieval in front of it.

    python benchmarks/documents/question_answering.py --data FOLDER --backbone PATH [--dataset NAME]

FOLDER holds <dataset>/train.jsonl.gz and validation.jsonl.gz: {"id", "document", "questions": [{"id", "question",
"answers": [{"text", "start"}]}]}, paragraphs divided by blank lines. The validation file is the test and is read once
per row; epochs are chosen on whole articles of the training file that are not trained on. With `--also NAME` as many
questions of another dataset are trained on, too.

* memory: the question in every segment, `--memory` between segments.
* segments: the same without memory; scores of all segments are compared (one softmax over the article).
* retrieval: as segments, but only on the paragraphs that TF-IDF finds most similar to the question.

All are trained on the same questions with the same settings: retrieval on retrieved paragraphs with the right one among
them, memory and segments on stretches of paragraphs round the answer, or, with `--training-text retrieved`, on the same
paragraphs as retrieval: those that are hardest to tell from the right one. Finished rows are kept.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import rows
import torch
from rows import Row
from sklearn.feature_extraction.text import TfidfVectorizer
from transformers import AutoTokenizer, set_seed

from memenc import MemencForQuestionAnswering
from memenc.data import read_records
from memenc.data.questions import AskedQuestion, QuestionsWithAnswers, questions_of
from memenc.data.records import Record
from memenc.training.answer_metrics import best, exact_match, overlap_f1
from memenc.training.run import answered, fine_tune
from memenc.training.settings import TrainingSettings
from memenc.training.tasks import TaskOptions
from memenc.training.tasks.question_answering import SpanQuestions

BREAK = "\n\n"
# Characters: a longer paragraph, such as a contract without empty lines, is cut at white space.
LONGEST_PARAGRAPH = 4_000
Asked = tuple[Record, AskedQuestion]


def questions_in(path: Path, count: int, seed: int, unanswerable: bool) -> list[Asked]:
    """So many questions, spread evenly over the documents of a file, each with its document."""
    generator, by_document = random.Random(seed), []
    for record in read_records(
        path, text_column="document", label_column="questions", understanding=lambda: QuestionsWithAnswers(True)
    ):
        asked = [(record, question) for question in questions_of(record) if question.answers or unanswerable]
        generator.shuffle(asked)
        by_document.append(asked)
    generator.shuffle(by_document)
    rounds = range(max(map(len, by_document)))
    return [asked[turn] for turn in rounds for asked in by_document if turn < len(asked)][:count]


def paragraphs_of(document: str) -> Iterator[tuple[int, int]]:
    """First character of every paragraph, and the one behind its last."""
    start = 0
    for paragraph in document.split(BREAK):
        end = start + len(paragraph)
        while end - start > LONGEST_PARAGRAPH:
            cut = 1 + max(document.rfind(space, start + 1, start + LONGEST_PARAGRAPH) for space in " \n")
            cut = cut or start + LONGEST_PARAGRAPH
            yield start, cut
            start = cut
        yield start, end
        start = end + len(BREAK)


def of_stretch(record: Record, question: AskedQuestion, places: list[tuple[int, int]]) -> Record:
    """A record of one question and some paragraphs of its document; answers elsewhere are left out."""
    text, answers = "", []
    for start, end in places:
        for answer in question.answers or ():
            if answer.start is not None and start <= answer.start and answer.end <= end:
                answers.append({"text": answer.text, "start": len(text) + answer.start - start})
        text += record.text[start:end] + BREAK
    label = [{"id": question.id, "question": question.text, "answers": answers}]
    return replace(record, text=text, label=label)


def gold(question: AskedQuestion, places: list[tuple[int, int]]) -> int | None:
    """Number of the paragraph in which the first answer starts; None if there is no answer."""
    if not question.answers:
        return None
    first = question.answers[0].start or 0
    return next(number for number, (_, end) in enumerate(places) if first < end)


def round_the_answer(words: int, generator: random.Random) -> Callable[[Record, AskedQuestion], Record]:
    """Stretches of at least so many words with the answer at a random place, or anywhere if there is none."""

    def cut(record: Record, question: AskedQuestion) -> Record:
        places = list(paragraphs_of(record.text))
        right = gold(question, places)
        low = high = generator.randrange(len(places)) if right is None else right
        while sum(len(record.text[start:end].split()) for start, end in places[low : high + 1]) < words:
            if (generator.random() < 0.5 and low > 0) or high + 1 == len(places):
                low = max(0, low - 1)
            else:
                high += 1
            if (low, high) == (0, len(places) - 1):
                break
        return of_stretch(record, question, places[low : high + 1])

    return cut


def retrieved(count: int, with_answer: bool) -> Callable[[Record, AskedQuestion], Record]:
    """The paragraphs most similar to the question, in their order; to train, the right one is among them."""

    def cut(record: Record, question: AskedQuestion) -> Record:
        places = list(paragraphs_of(record.text))
        vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, stop_words="english", token_pattern=r"\w+")
        table = vectorizer.fit_transform([record.text[start:end] for start, end in places])
        similarity = (table @ vectorizer.transform([question.text]).T).toarray()[:, 0]
        found = np.argsort(-similarity)[:count].tolist()
        right = gold(question, places) if with_answer else None
        if right is not None and right not in found:
            found[-1] = right
        return of_stretch(record, question, [places[number] for number in sorted(found)])

    return cut


def whole(record: Record, question: AskedQuestion) -> Record:
    """The whole document."""
    return of_stretch(record, question, [(0, len(record.text))])


def splits(cell: Row, arguments: argparse.Namespace) -> tuple[list[Asked], ...]:
    """Questions to train on, to choose the epoch by (of articles that are not trained on), and to test on."""
    seed, folder, count = int(cell["seed"]), arguments.data / cell["dataset"], arguments.training_questions
    of_file = partial(questions_in, unanswerable=arguments.unanswerable)
    everything = of_file(folder / "train.jsonl.gz", 10**9, seed)
    articles = sorted({record.id or "" for record, _ in everything})
    aside = set(random.Random(seed).sample(articles, arguments.validation_documents))
    training = [asked for asked in everything if asked[0].id not in aside][:count]
    for other in filter(None, [arguments.also]):
        training += of_file(arguments.data / other / "train.jsonl.gz", count, seed)
    validation = [asked for asked in everything if asked[0].id in aside][: arguments.validation_questions]
    return training, validation, of_file(folder / "validation.jsonl.gz", arguments.test_questions, 0)


def settings_of(seed: int, arguments: argparse.Namespace) -> TrainingSettings:
    """The same for all models."""
    return TrainingSettings(
        epochs=arguments.epochs,
        learning_rate=arguments.learning_rate,
        documents_per_step=arguments.questions_per_step,
        tokens_per_batch=arguments.tokens_per_batch,
        bf16=arguments.bf16,
        patience=0,
        seed=seed,
    )


def scored(said: list[str], test: list[Asked]) -> dict[str, float]:
    """Exact match and F1 of answers, in percent, with their standard errors."""
    right = [[answer.text for answer in question.answers or ()] for _, question in test]
    values = {
        key: np.array([best(score, *pair) for pair in zip(said, right, strict=True)])
        for key, score in (("exact_match", exact_match), ("f1", overlap_f1))
    }
    means = {key: round(100 * float(each.mean()), 2) for key, each in values.items()}
    return means | {f"{key}_standard_error": standard_error(each) for key, each in values.items()}


def measure(cell: Row, arguments: argparse.Namespace) -> list[Row]:
    """Train one model, choose its epoch on articles kept aside, and answer the test questions."""
    name, seed = cell["model"], int(cell["seed"])
    training, validation, test = splits(cell, arguments)
    for_training = {
        "around": round_the_answer(arguments.training_words, random.Random(seed)),
        "retrieved": retrieved(arguments.paragraphs, True),
    }[cell["training_text"]]
    for_test = retrieved(arguments.paragraphs, False) if name == "retrieval" else whole
    set_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(arguments.backbone)
    task = SpanQuestions(TaskOptions())
    examples = [
        task.examples([cut(*asked) for asked in part], str(arguments.data), tokenizer)
        for part, cut in ((training, for_training), (validation, for_test), (test, for_test))
    ]
    model = MemencForQuestionAnswering.from_backbone(
        arguments.backbone,
        memory=memory_of(name, arguments),
        tokenizer=tokenizer,
        segment_length=arguments.segment_length,
    )
    started = time.monotonic()
    log = fine_tune(model, task, examples[0], examples[1], settings_of(seed, arguments))
    trained = time.monotonic()
    # Reading in half precision too: otherwise the test costs more than the training.
    with torch.autocast(model.device.type, torch.bfloat16, enabled=arguments.bf16):
        found = answered(model, task, examples[2], 4 * arguments.tokens_per_batch).predictions
    scores = scored([answer.text for (answer,) in found], test)
    chosen = max((entry["eval_f1"] for entry in log if "eval_f1" in entry), default=float("nan"))
    row = {
        **scores,
        "validation_f1": round(100 * chosen, 2),
        "validation_questions": len(validation),
        "test_questions": len(test),
        "test_tokens": sum(examples[2].lengths),
        "trained_on": len(training),
        "training_tokens": sum(examples[0].lengths),
        **{key: getattr(arguments, key) for key in ("segment_length", "epochs", "learning_rate", "bf16")},
        "training_seconds": round(trained - started),
        "test_seconds": round(time.monotonic() - trained),
    }
    return [cell | row]


def standard_error(values: np.ndarray) -> float:
    """Of a mean of questions, in percent."""
    return round(100 * float(values.std(ddof=1) / len(values) ** 0.5), 2)


def memory_of(model: str, arguments: argparse.Namespace) -> str:
    """The design that a row reads with."""
    return arguments.memory if model == "memory" else "none"


def main() -> None:
    parser = rows.parser(__doc__, "question_answering.csv")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--dataset", default="squad_long")
    parser.add_argument("--also", default="", help="dataset of which as many questions are trained on besides")
    parser.add_argument("--unanswerable", action="store_true", help="take questions without an answer, too")
    parser.add_argument("--models", default="memory,segments,retrieval")
    parser.add_argument("--memory", default="compressive")
    parser.add_argument("--training-questions", type=int, default=300, help="of each dataset, or as many as there are")
    parser.add_argument("--training-text", default="around", choices=("around", "retrieved"))
    parser.add_argument("--training-words", type=int, default=500, help="of a stretch round the answer")
    parser.add_argument("--validation-documents", type=int, default=20, help="of the training file, not trained on")
    parser.add_argument("--validation-questions", type=int, default=10)
    parser.add_argument("--test-questions", type=int, default=84, help="two of each of 42 articles")
    parser.add_argument("--paragraphs", type=int, default=4, help="that retrieval finds")
    parser.add_argument("--segment-length", type=int, default=256)
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--questions-per-step", type=int, default=8)
    parser.add_argument("--tokens-per-batch", type=int, default=4_096)
    arguments = parser.parse_args()
    fixed = {
        "also": arguments.also,
        "unanswerable": arguments.unanswerable,
        "training_questions": arguments.training_questions,
        "backbone": Path(arguments.backbone).name,
        **{name: getattr(arguments, name) for name in ("segment_length", "epochs", "learning_rate", "bf16")},
        "changed": rows.changed(
            parser,
            arguments,
            "training_words",
            "validation_documents",
            "validation_questions",
            "paragraphs",
            "questions_per_step",
        ),
    }
    columns = {"dataset": arguments.dataset, "seed": arguments.seeds, "model": arguments.models}
    wanted = [
        cell
        | {"training_text": "retrieved" if cell["model"] == "retrieval" else arguments.training_text}
        | {"memory": memory_of(cell["model"], arguments)}
        for cell in rows.cells(columns, fixed)
    ]
    rows.fill(arguments.output, wanted, lambda cell: measure(cell, arguments))


if __name__ == "__main__":
    main()
