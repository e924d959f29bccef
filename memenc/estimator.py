"""The scikit-learn estimator: long texts in, labels out, no maximum length."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from rich.console import Console
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted
from transformers import AutoTokenizer, set_seed

from memenc.baselines.report import compare_with_baselines
from memenc.data.labels import MULTI, REGRESSION, SINGLE, Labels, looks_like
from memenc.data.report import corpus_report
from memenc.devices import chosen_device
from memenc.diagnostics.attribution import Explanation, explain
from memenc.diagnostics.liveness_callback import LivenessCallback
from memenc.saved import ESTIMATOR_FILE, kept_beside, require_model, saved_parameters
from memenc.storage.files import whole_folder
from memenc.tasks import MemencForSequenceClassification
from memenc.texts import checked_texts
from memenc.training.adaptation import options_for
from memenc.training.adaptation.cost import Cost, CostCallback
from memenc.training.documents import TokenizedDocuments, refuse_all_empty
from memenc.training.run import predict_logits, train_classifier
from memenc.training.settings import TrainingSettings, Way, drawn_seed
from memenc.training.splits import split_validation

DEFAULT_BACKBONE = "sentence-transformers/all-MiniLM-L6-v2"
DEFAULT_TASK = "sequence-classification"
# Left out of pickles: texts are large, and may be nobody's business.
TRAINED_ON = ("training_texts_", "training_labels_")


class LongDocumentClassifier(ClassifierMixin, BaseEstimator):
    """Classify documents of any length: a pre-trained encoder with memory, fine-tuned.

    Args:
        backbone: name or path of a Hugging Face encoder with its tokenizer.
        memory: name of the memory design, see `available_memories()`.
        memory_options: keyword arguments of the design.
        model_options: fields of `MemencConfig`, such as {"segment_length": 256, "readout": "mean"}; an
            "instruction" may be text.
        training: settings that differ from `TrainingSettings`, such as {"adapt": "frozen"}, plus "validation_share"
            (0.1): the share of the training documents that chooses the epoch.
        verbose: show progress and a report on the corpus.
        random_state: seed, or a RandomState of NumPy that gives one; None uses the settings' seed.

    Attributes:
        classes_: the labels, sorted.
        model_: the fine-tuned MemencForSequenceClassification.
        tokenizer_: of the backbone.
        corpus_: report on the training documents.
        history_: the training log.
        cost_: parameters trained, time and peak memory of the training.
        seed_: of the training.
    """

    def __init__(
        self,
        backbone: str | Path = DEFAULT_BACKBONE,
        memory: str = "compressive",
        memory_options: dict[str, Any] | None = None,
        model_options: dict[str, Any] | None = None,
        training: dict[str, Any] | None = None,
        verbose: bool = True,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.backbone = backbone
        self.memory = memory
        self.memory_options = memory_options
        self.model_options = model_options
        self.training = training
        self.verbose = verbose
        self.random_state = random_state

    def fit(self, X: Sequence[str], y: Sequence[Any]) -> Self:
        """Fine-tune on texts and their labels.

        Raises:
            ValueError: something other than texts, or texts without a token; not as many labels as texts, or one class.
        """
        self._check_options()
        texts = check_texts(X)
        values = check_labels(y, len(texts))
        self.labels_ = Labels.infer(values, SINGLE)
        self.classes_ = np.asarray(self.labels_.classes)
        settings, validation_share = self._settings()
        self.seed_ = settings.seed
        set_seed(settings.seed)
        require_model(self.backbone)
        self.tokenizer_ = AutoTokenizer.from_pretrained(self.backbone)
        documents = TokenizedDocuments.from_texts(
            texts, self.tokenizer_, [self.labels_.encode(value) for value in values], self.verbose
        )
        refuse_all_empty(documents.token_ids)
        # Where fit was called.
        documents.warn_of_empty("nothing but their label is learned", stacklevel=3)
        self.corpus_ = corpus_report(documents.lengths)
        if self.verbose:
            print(self.corpus_)
        self.model_ = self._new_model(settings.adapt)
        training, validation = split_validation(documents, validation_share, settings.seed)
        measured = CostCallback(settings.adapt, Console(stderr=True) if self.verbose else None)
        watch = [*LivenessCallback.watching(self.model_, training.token_ids), measured]
        self.history_ = train_classifier(
            self.model_, training, validation, settings, quiet=not self.verbose, callbacks=watch
        )
        self.cost_: Cost | None = measured.cost
        self.training_texts_, self.training_labels_ = texts, values
        self.n_features_in_ = 1
        return self

    def predict_proba(self, X: Sequence[str]) -> np.ndarray:
        """Probability of every class, (documents, classes), in the order of `classes_`."""
        logits = torch.from_numpy(self._logits(X))
        return logits.double().softmax(-1).numpy()

    def predict(self, X: Sequence[str]) -> np.ndarray:
        """The most probable class of every document."""
        logits = self._logits(X)
        return self.classes_[logits.argmax(-1)]

    def explain(self, text: str, documents_per_call: int = 8) -> Explanation:
        """Rank the segments of one document by what the decision loses without what they wrote to memory."""
        check_is_fitted(self, "model_")
        return explain(self.model_, self.tokenizer_, text, documents_per_call)

    def report(
        self,
        X: Sequence[str],
        y: Sequence[Any],
        baselines: Sequence[str] | None = None,
        training: tuple[Sequence[str], Sequence[Any]] | None = None,
    ) -> Any:
        """This model beside TF-IDF, truncation, chunk-and-pool and itself without memory, all trained on the same.

        Args:
            X: texts that were not trained on, on which all are scored.
            y: their labels.
            baselines: names, see `memenc.baselines.BASELINES`; None means all. Whether the memory was worth it can be
                said only beside "without-memory".
            training: (texts, labels) that it was fitted on; None takes those of `fit`, which neither a saved folder nor
                a pickle holds.
        """
        check_is_fitted(self, "model_")
        if training is not None:
            texts, labels = training
            training = check_texts(texts), check_labels(labels, len(texts))
        elif hasattr(self, "training_texts_"):
            training = self.training_texts_, self.training_labels_
        return compare_with_baselines(self, check_texts(X), check_labels(y, len(X)), training, baselines)

    def to(self, device: str | torch.device | None = None) -> Self:
        """Predict and explain on this device from now on; None takes CUDA if there is any, else the CPU.

        Raises:
            ValueError: CUDA, where there is none.
        """
        check_is_fitted(self, "model_")
        self.model_.to(chosen_device(device))  # pyright: ignore[reportArgumentType] transformers hides the signature
        return self

    def save_pretrained(self, path: str | Path) -> None:
        """Write model, tokenizer, labels and settings: a folder transformers reads too, without a pickle.

        It is written whole or not at all, with the SHA-256 of every file in `checksums.json`.
        """
        check_is_fitted(self, "model_")
        kept = {
            "classes": self.classes_.tolist(),
            "problem_type": self.model_.config.problem_type,
            "parameters": saved_parameters(self.get_params(deep=False)),
        }
        with whole_folder(Path(path)) as folder:
            self.model_.save_pretrained(folder, tokenizer=self.tokenizer_)
            (folder / ESTIMATOR_FILE).write_text(json.dumps(kept, indent=2), encoding="utf-8")

    @classmethod
    def from_pretrained(cls, path: str | Path, device: str | torch.device | None = None) -> Self:
        """A fitted classifier from a folder written by :meth:`save_pretrained` or `memenc train`.

        Args:
            path: folder.
            device: where it predicts, see :meth:`to`.

        Raises:
            ValueError: the folder holds no such classifier, or it is damaged.
        """
        kept = kept_beside(path)
        task = kept.get("task", DEFAULT_TASK)
        if task != DEFAULT_TASK:
            raise ValueError(f"{path} holds a model for {task}, not a classifier of documents; use memenc predict")
        problem = kept.get("problem_type", "single_label_classification")
        if problem != "single_label_classification":
            raise ValueError(
                f"{path} holds a model for {problem}; use memenc predict or MemencForSequenceClassification"
            )
        classifier = cls(**kept["parameters"])
        classifier.labels_ = Labels.infer(kept["classes"], problem_type="single_label_classification")
        classifier.classes_ = np.asarray(kept["classes"])
        classifier.model_ = MemencForSequenceClassification.from_pretrained(path)
        classifier.tokenizer_ = AutoTokenizer.from_pretrained(path)
        classifier.n_features_in_ = 1
        return classifier.to(device)

    def __getstate__(self) -> dict[str, Any]:
        state: Any = super().__getstate__()
        return {name: value for name, value in state.items() if name not in TRAINED_ON}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.non_deterministic = False
        return tags

    def _logits(self, X: Sequence[str]) -> np.ndarray:
        check_is_fitted(self, "model_")
        documents = TokenizedDocuments.from_texts(check_texts(X), self.tokenizer_)
        # Where predict was called.
        documents.warn_of_empty("nothing was read of them, and the same is predicted for all of them", stacklevel=4)
        return predict_logits(self.model_, documents)

    def _check_options(self) -> None:
        for name in ("memory_options", "model_options", "training"):
            value = getattr(self, name)
            if not isinstance(value, Mapping | None):
                raise ValueError(f"{name}={value!r}: give a dictionary, or None")

    def _settings(self) -> tuple[TrainingSettings, float]:
        given = dict(self.training or {})
        share = given.pop("validation_share", 0.1)
        if not isinstance(share, int | float | np.number) or not 0 <= share < 1:
            raise ValueError(f"training setting validation_share={share!r}: give a number from 0 to below 1")
        return TrainingSettings.of(given).with_seed(drawn_seed(self.random_state)), float(share)

    def _new_model(self, adapt: Way) -> MemencForSequenceClassification:
        return MemencForSequenceClassification.from_backbone(
            self.backbone,
            self.memory,
            copy.deepcopy(self.memory_options),
            tokenizer=self.tokenizer_,
            problem_type="single_label_classification",
            id2label=dict(enumerate(str(name) for name in self.classes_)),
            label2id={str(name): index for index, name in enumerate(self.classes_)},
            **options_for(adapt, self.model_options),
        )


def check_texts(texts: Any) -> list[str]:
    """A list of texts.

    Raises:
        ValueError: one text instead of several, none at all, or something that is not text, named with its place.
    """
    found = checked_texts(texts)
    if not found:
        raise ValueError("received no texts (0 samples); give at least one")
    return found


def check_labels(labels: Any, expected: int) -> list[Any]:
    """A list of labels, one per text."""
    if labels is None:
        raise ValueError("requires y to be passed, but the target y is None")
    if isinstance(labels, list):
        values = list(labels)
    else:
        array = np.asarray(labels)
        # A table of one column, too.
        values = (array.ravel() if array.shape[1:] == (1,) else array).tolist()
    if len(values) != expected:
        raise ValueError(f"{expected} texts but {len(values)} labels (inconsistent numbers of samples)")
    kind = looks_like(values) if values else SINGLE
    # Whole numbers that NumPy or a file made floats are classes.
    quantities = kind == REGRESSION and not all(float(value).is_integer() for value in values)
    if quantities or kind == MULTI:
        found = "quantities (continuous)" if quantities else "several labels a document"
        raise ValueError(
            f"Unknown label type: y has {found}, {values[0]!r} first; LongDocumentClassifier chooses one class "
            "for each document. For anything else use memenc train, or MemencForSequenceClassification and problem_type"
        )
    return values
