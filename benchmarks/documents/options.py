"""Questions with options about whole documents: the memory that read all of them, their beginning, and no document.

    python benchmarks/documents/options.py --data FOLDER --backbone PATH [--datasets contract_nli,onestop_qa]

FOLDER holds <dataset>/train.jsonl.gz (train_two_option.jsonl.gz of quality_subset) and validation.jsonl.gz: {"id",
"document", "questions": [{"id", "question", "options": [...], "answer": number}]}. The validation file is the test and
is read once per row; epochs are chosen on documents of the training file that are not trained on.

* memory: every document is read once, with `--memory` between segments; its questions are put to what is left.
* none: the same without memory between segments; only the document memory over the top carries anything on.
* truncation: as memory, but of the first 512 tokens.
* nothing: as memory, but of no document: what questions and options say alone.
* majority: the option that is right most often in training; per_question: for each question that was there, its own.

All but these two are trained alike. `--head labels` asks each question once and chooses among the options, where these
are the same for all questions, instead of scoring every option with its question; `--evidence` also trains the ranking
of segments on the stretches that the "evidence" of training questions names. Finished rows are kept.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import rows
from rows import Row
from transformers import AutoTokenizer, PreTrainedTokenizerBase, set_seed

from memenc.data import read_records
from memenc.data.questions import AskedQuestion, QuestionsWithOptions, questions_of
from memenc.data.records import Record
from memenc.training.run import answered, fine_tune
from memenc.training.settings import TrainingSettings
from memenc.training.tasks.base import Task, TaskOptions
from memenc.training.tasks.multiple_choice import MultipleChoice
from memenc.training.tasks.question_answering import LabelQuestions

FIRST_TOKENS = 512
TRAIN_FILES = {"quality_subset": "train_two_option"}
COUNTED = ("majority", "per_question")
TRAINED = ("memory", "none", "truncation", "nothing")


def records_of(path: Path) -> list[Record]:
    """Documents with questions, options and right answers."""
    return list(
        read_records(
            path,
            text_column="document",
            label_column="questions",
            understanding=lambda: QuestionsWithOptions(answered=True),
        )
    )


def splits(dataset: str, seed: int, arguments: argparse.Namespace) -> tuple[list[Record], list[Record], list[Record]]:
    """Documents to train on, to choose the epoch by, and to test on."""
    folder = arguments.data / dataset
    everything = records_of(folder / f"{TRAIN_FILES.get(dataset, 'train')}.jsonl.gz")
    random.Random(seed).shuffle(everything)
    # Versions of one article, told apart behind a slash, must not stand on both sides.
    articles = list(dict.fromkeys(map(article_of, everything)))
    aside = set(articles[: max(1, round(arguments.validation_share * len(articles)))])
    validation = [record for record in everything if article_of(record) in aside]
    training = [record for record in everything if article_of(record) not in aside]
    return training, validation, records_of(folder / "validation.jsonl.gz")


def article_of(record: Record) -> str:
    """What versions of one article share of their ids."""
    return (record.id or "").partition("/")[0]


def seen(name: str, record: Record, tokenizer: PreTrainedTokenizerBase, evidence: bool) -> Record:
    """The record with as much of its document, and of its evidence, as the model may see."""
    text = record.text if name != "nothing" else ""
    if name == "truncation":
        tokens = tokenizer(record.text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        offsets = tokens["offset_mapping"][:FIRST_TOKENS]
        text = record.text[: offsets[-1][1]] if offsets else ""
    kept = [
        question | {"evidence": [each for each in question.get("evidence", []) if evidence and each[1] <= len(text)]}
        for question in record.label
    ]
    return replace(record, text=text, label=kept)


def with_labels(record: Record) -> Record:
    """The record with the text of the right option as the answer to each question."""
    asked = [
        {key: value for key, value in question.items() if key not in ("options", "answer")}
        | {"answers": [{"text": question["options"][question["answer"]]}]}
        for question in record.label
    ]
    return replace(record, label=asked)


class OptionsHead:
    """Every option is scored with its question."""

    prepared: Callable[[Record], Record] = staticmethod(lambda record: record)

    def __init__(self, training: Sequence[Record]) -> None:
        self.task: Task = MultipleChoice()

    def option(self, found: Any, question: AskedQuestion) -> int:
        """Number of the option that was chosen."""
        return found.option


class LabelsHead(OptionsHead):
    """A question is asked once; the options are labels, the same for all."""

    prepared = staticmethod(with_labels)

    def __init__(self, training: Sequence[Record]) -> None:
        self.task = LabelQuestions.at(list(map(with_labels, training)), TaskOptions(question_position="last"))

    def option(self, found: Any, question: AskedQuestion) -> int:
        """Number of the option whose text was answered."""
        return question.options.index(found.text)


HEADS = {"options": OptionsHead, "labels": LabelsHead}


def counted(name: str, training: list[Record], test: list[AskedQuestion]) -> list[int]:
    """Options by how often they were right."""
    asked = [question for record in training for question in questions_of(record)]
    overall = Counter(question.options[question.answer or 0] for question in asked)
    own = {question.text: Counter() for question in asked}
    for question in asked:
        own[question.text][question.options[question.answer or 0]] += 1

    def best(question: AskedQuestion) -> int:
        known = own.get(question.text, overall) if name == "per_question" else overall
        return max(range(len(question.options)), key=lambda place: known[question.options[place]])

    return [best(question) for question in test]


def measure(cell: Row, arguments: argparse.Namespace) -> list[Row]:
    """Train one model, choose its epoch on documents kept aside, and answer the test questions."""
    name, dataset, seed = cell["model"], cell["dataset"], int(cell["seed"])
    training, validation, test = splits(dataset, seed, arguments)
    asked = [question for record in test for question in questions_of(record)]
    started, chosen, tokens = time.monotonic(), float("nan"), 0
    if name in COUNTED:
        said = counted(name, training, asked)
    else:
        set_seed(seed)
        tokenizer = AutoTokenizer.from_pretrained(arguments.backbone)
        head = HEADS[arguments.head](training)
        task = head.task
        examples = [
            task.examples(
                [head.prepared(seen(name, record, tokenizer, arguments.evidence)) for record in part],
                str(arguments.data),
                tokenizer,
            )
            for part in (training, validation, test)
        ]
        model = task.head.from_backbone(
            arguments.backbone,
            memory="none" if name == "none" else arguments.memory,
            memory_options=None if name == "none" else json.loads(arguments.memory_options),
            tokenizer=tokenizer,
            segment_length=arguments.segment_length,
            **task.model_options(),
        )
        settings = TrainingSettings(
            epochs=arguments.epochs,
            learning_rate=arguments.learning_rate,
            documents_per_step=arguments.documents_per_step,
            bf16=arguments.bf16,
            patience=0,
            seed=seed,
        )
        log = fine_tune(model, task, examples[0], examples[1], settings)
        chosen = max((entry["eval_accuracy"] for entry in log if "eval_accuracy" in entry), default=chosen)
        found = answered(model, task, examples[2], 2 * settings.tokens_per_batch).predictions
        found = [answer for each in found for answer in each]
        said = [head.option(*pair) for pair in zip(found, asked, strict=True)]
        tokens = sum(examples[0].lengths)
    right = np.array([option == question.answer for option, question in zip(said, asked, strict=True)])
    row = {
        "accuracy": round(float(right.mean()), 4),
        "standard_error": round(float(right.std(ddof=1) / len(right) ** 0.5), 4),
        "validation_accuracy": round(chosen, 4),
        "test_questions": len(asked),
        "test_documents": len(test),
        "training_questions": sum(len(questions_of(record)) for record in training),
        "training_documents": len(training),
        "training_tokens": tokens,
        "seconds": round(time.monotonic() - started),
    }
    return [cell | row]


SETTINGS = (
    *("head", "evidence", "segment_length", "epochs", "learning_rate", "documents_per_step"),
    *("memory_options", "bf16"),
)


def main() -> None:
    parser = rows.parser(__doc__, "options.csv")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--datasets", default="contract_nli,onestop_qa,quality_subset")
    parser.add_argument("--models", default=",".join((*COUNTED, *TRAINED)))
    parser.add_argument("--memory", default="compressive")
    parser.add_argument("--memory-options", default="{}", help="of that memory, as JSON")
    parser.add_argument("--head", choices=sorted(HEADS), default="options")
    parser.add_argument("--evidence", action="store_true")
    parser.add_argument("--validation-share", type=float, default=0.15, help="of the training articles")
    parser.add_argument("--segment-length", type=int, default=256)
    parser.add_argument("--epochs", type=float, default=4)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--documents-per-step", type=int, default=4, help="readings of eight questions each")
    arguments = parser.parse_args()
    columns = {"seed": arguments.seeds, "dataset": arguments.datasets, "model": arguments.models}
    settings = {key: getattr(arguments, key) for key in SETTINGS}
    settings["changed"] = rows.changed(parser, arguments, "validation_share")
    wanted = [
        cell | {"memory": "none" if cell["model"] in ("none", *COUNTED) else arguments.memory}
        for cell in rows.cells(columns, settings | {"backbone": Path(arguments.backbone).name})
    ]
    rows.fill(arguments.output, wanted, lambda cell: measure(cell, arguments))


if __name__ == "__main__":
    main()
