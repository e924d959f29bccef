"""The scikit-learn estimator: learns, persists, refuses, and passes scikit-learn's own checks where they apply."""

import pickle
import re
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks

from memenc import LongDocumentClassifier
from memenc.baselines.plain import without_memory
from memenc.diagnostics.attribution import segments_of_passage
from tests.tiny import TINY_MEMORY, TINY_MODEL, TINY_TRAINING, save_tiny_backbone, tiny_documents

datasets = pytest.importorskip("datasets")


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return save_tiny_backbone(tmp_path_factory.mktemp("backbone"))


def tiny_classifier(backbone, **changes):
    options = {
        "memory_options": TINY_MEMORY,
        "model_options": TINY_MODEL,
        "training": TINY_TRAINING,
        "verbose": False,
        "random_state": 0,
    }
    return LongDocumentClassifier(backbone, **(options | changes))


@pytest.fixture(scope="module")
def fitted(backbone):
    texts, labels = tiny_documents(160, (5, 60), seed=1)
    return tiny_classifier(backbone).fit(texts, labels)


def test_learns_a_word_in_documents_longer_than_any_it_was_trained_on(fitted):
    texts, labels = tiny_documents(60, (80, 120), seed=2)
    assert fitted.score(texts, labels) >= 0.9


def test_probabilities_are_ordered_like_classes(fitted):
    texts, _ = tiny_documents(10, (5, 60), seed=3)
    probabilities = fitted.predict_proba(texts)
    assert probabilities.shape == (10, 2)
    assert np.allclose(probabilities.sum(1), 1)
    assert (fitted.classes_[probabilities.argmax(1)] == fitted.predict(texts)).all()
    assert fitted.classes_.tolist() == ["bad", "good"]


def test_order_and_neighbours_do_not_change_predictions(fitted):
    texts, _ = tiny_documents(30, (1, 200), seed=4)
    together = fitted.predict_proba(texts)
    alone = np.concatenate([fitted.predict_proba([text]) for text in texts])
    assert np.abs(together - alone).max() < 1e-5


def test_saved_classifier_predicts_the_same(fitted, tmp_path):
    texts, _ = tiny_documents(10, (5, 60), seed=5)
    fitted.save_pretrained(tmp_path / "saved")
    loaded = LongDocumentClassifier.from_pretrained(tmp_path / "saved")
    assert (loaded.predict_proba(texts) == fitted.predict_proba(texts)).all()
    assert loaded.classes_.tolist() == fitted.classes_.tolist()
    assert not list((tmp_path / "saved").glob("*.pkl"))
    with pytest.raises(ValueError, match=r"training=\(texts, labels\), or fit it again"):
        loaded.report(texts, ["good"] * 10)
    with pytest.raises(ValueError, match="memenc_estimator"):
        LongDocumentClassifier.from_pretrained(tmp_path)


def test_same_seed_same_model(backbone):
    texts, labels = tiny_documents(24, (5, 40), seed=6)
    short = TINY_TRAINING | {"epochs": 1}
    first, second = (
        tiny_classifier(backbone, training=short).fit(texts, labels).predict_proba(texts) for _ in range(2)
    )
    assert (first == second).all()
    other = tiny_classifier(backbone, training=short, random_state=1).fit(texts, labels).predict_proba(texts)
    assert (first != other).any()


def test_explain_finds_the_decisive_segment(fitted):
    texts, labels = tiny_documents(12, (60, 90), seed=7)
    found = 0
    for text, label in zip(texts, labels, strict=True):
        explanation = fitted.explain(text)
        own = fitted.model_.memenc.own_tokens_per_segment
        said = "excellent" if "excellent" in text else "terrible"
        places = segments_of_passage(text, said, fitted.tokenizer_, own)
        assert len(explanation.evidence) == -(-len(text.split()) // own)
        found += explanation.label == label and explanation.evidence[0].segment in places
    # A dozen documents of five to seven segments: guessing finds two.
    assert found >= 9, found
    with pytest.raises(ValueError, match="no tokens"):
        fitted.explain("  ")


def test_report_compares_on_the_same_documents(fitted):
    texts, labels = tiny_documents(40, (5, 60), seed=8)
    report = fitted.report(texts, labels, baselines=["tf-idf", "without-memory"])
    assert [row.name for row in report.rows] == ["memenc (compressive)", "tf-idf", "without-memory"]
    assert report.rows[0].accuracy == fitted.score(texts, labels)
    assert report.verdict.startswith("Memory ")
    assert fitted.report(texts, labels, baselines=["tf-idf"]).verdict.startswith("This model ")
    with pytest.raises(ValueError, match="nothing to compare with"):
        fitted.report(texts, labels, baselines=[])
    for wrong in (3.7, [1], np.random.default_rng(0)):
        with pytest.raises(ValueError, match=r"random_state=.*give a whole number"):
            clone(fitted).set_params(random_state=wrong).fit(texts, labels)
    with pytest.raises(ValueError, match="unknown baseline"):
        fitted.report(texts, labels, baselines=["gpt"])


def test_values_of_numpy_and_paths_are_taken_as_they_come(backbone, tmp_path):
    texts, labels = tiny_documents(12, (5, 20), seed=9)
    options = {name: np.int64(value) for name, value in TINY_MEMORY.items()}
    training = TINY_TRAINING | {"epochs": np.float64(1)}
    classifier = tiny_classifier(Path(backbone), memory_options=options, training=training)
    classifier.set_params(model_options={"segment_length": np.int64(16)}, random_state=np.random.RandomState(3))
    classifier.fit(texts, labels).save_pretrained(tmp_path / "deep" / "model")
    loaded = LongDocumentClassifier.from_pretrained(tmp_path / "deep" / "model")
    assert loaded.backbone == str(backbone) and loaded.memory_options == TINY_MEMORY and loaded.random_state is None
    assert np.array_equal(loaded.predict_proba(texts), classifier.predict_proba(texts))
    seeds = [clone(classifier).set_params(random_state=seed) for seed in (5, np.int64(5))]
    first, second = (each.fit(texts, labels).predict_proba(texts) for each in seeds)
    assert np.array_equal(first, second)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *(({"validation_share": share}, "validation_share=") for share in (-1, 1, 1.5, "a")),
        ({"patience": -1}, "patience="),
        ({"epochs": "1"}, "training setting epochs='1'; give a number"),
        ({"learning_rate": "1e-4"}, "training setting learning_rate='1e-4'; give a number"),
        ({"most_segments": "2"}, "training setting most_segments='2'; give a whole number or null"),
        ({"bf16": "no"}, "training setting bf16='no'; give true or false"),
        ({"save_steps": 1.5}, "training setting save_steps=1.5; give a whole number"),
        ({"seed": "1"}, "training setting seed='1'; give a whole number"),
        ({"seed": -1}, "training setting seed=-1: give a whole number from 0 to"),
        ({"learning_rate": float("nan")}, "training setting learning_rate=nan: give a number above 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(backbone, changes, message):
    texts, labels = tiny_documents(12, (5, 20), seed=9)
    with pytest.raises(ValueError, match=message):
        classifier = tiny_classifier(backbone, training=TINY_TRAINING | changes)
        classifier.set_params(random_state=None if "seed" in changes else 0).fit(texts, labels)


@pytest.mark.parametrize("name", ["training", "model_options", "memory_options"])
@pytest.mark.parametrize("value", [["epochs"], "epochs=3", 3])
def test_options_that_are_no_dictionary_are_refused(backbone, name, value):
    with pytest.raises(ValueError, match=rf"{name}={re.escape(repr(value))}: give a dictionary, or None"):
        tiny_classifier(backbone, **{name: value}).fit(*tiny_documents(4, (5, 6), seed=10))


def test_arrays_are_many_texts_and_one_text_is_explained(fitted):
    texts, _ = tiny_documents(3, (5, 20), seed=9)
    encoder, tokenizer = fitted.model_.memenc, fitted.tokenizer_
    many = encoder.encode(texts, tokenizer)
    for given in (np.array(texts), tuple(texts), datasets.Dataset.from_dict({"text": texts})["text"]):
        assert torch.equal(encoder.encode(given, tokenizer), many)
    one = encoder.encode(" ".join(texts), tokenizer)
    assert torch.allclose(encoder.encode(iter([texts[0], " ", texts[1], " ", texts[2]]), tokenizer), one, atol=1e-6)
    with pytest.raises(ValueError, match="document 1 is None, not text; make it a str, or leave it out"):
        encoder.encode([texts[0], None], tokenizer)
    with pytest.raises(ValueError, match="received list; give one text"):
        fitted.explain(texts)
    _, labels = tiny_documents(3, (5, 20), seed=9)
    assert fitted.score(texts, pandas.DataFrame({"label": labels})) == fitted.score(texts, labels)


def test_a_rare_class_may_count_more(backbone):
    texts, _ = tiny_documents(24, (5, 20), seed=9)
    labels = [1 if number in (3, 11) else 0 for number in range(24)]
    training = TINY_TRAINING | {"epochs": 2, "validation_share": 0}
    plain, balanced = (
        tiny_classifier(backbone, training=training | more).fit(texts, labels).predict_proba(texts)[:, 1].mean()
        for more in ({}, {"class_weight": "balanced"})
    )
    # Both have seen the same: of two in 24 one says so, the other hardly more than half and half.
    assert plain < 0.25 < balanced, (plain, balanced)


def test_nothing_is_said_of_a_memory_that_is_not_there(backbone):
    texts, labels = tiny_documents(24, (5, 20), seed=9)
    training = TINY_TRAINING | {"epochs": 1}
    plain = tiny_classifier(backbone, memory="none", memory_options=None, training=training).fit(texts, labels)
    report = plain.report(texts, labels, baselines=["tf-idf", "without-memory"])
    assert [row.name for row in report.rows] == ["memenc (none)", "tf-idf"]
    assert report.verdict.startswith("This model ")
    with pytest.raises(ValueError, match="nothing to compare with; give baselines, some of tf-idf"):
        plain.report(texts, labels, baselines=["without-memory"])


def test_a_generator_of_seeds_gives_all_the_same(backbone):
    texts, labels = tiny_documents(12, (5, 20), seed=9)
    training = TINY_TRAINING | {"epochs": 1}
    classifier = tiny_classifier(backbone, training=training, random_state=np.random.RandomState(3))
    classifier.fit(texts, labels)
    assert without_memory(classifier).random_state == classifier.seed_ == np.random.RandomState(3).randint(2**31)


def test_works_in_cross_validation_and_pipeline(backbone):
    texts, labels = tiny_documents(24, (5, 20), seed=9)
    classifier = tiny_classifier(backbone, training=TINY_TRAINING | {"epochs": 1})
    assert cross_val_score(classifier, texts, labels, cv=2).shape == (2,)
    pipeline = make_pipeline(FunctionTransformer(list), clone(classifier)).fit(texts, labels)
    assert set(pipeline.predict(texts)) <= {"good", "bad"}


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        ("one text", ["a"], "received one text, 'one text'; give a list of texts"),
        (None, ["a"], "received None; give a list of texts"),
        ({"a": 1, "b": 2}, ["x", "y"], r"received a dict; give a list of texts, such as .*table\['text'\]"),
        ({"a", "b"}, ["x", "y"], "received a set; give a list of texts"),
        (
            pandas.DataFrame({"a": ["c", "d"], "b": ["e", "f"]}),
            ["x", "y"],
            "received a DataFrame; give a list of texts",
        ),
        (np.array([["a"], ["b"]]), ["x", "y"], "received a ndarray; give a list of texts"),
        ([], [], "no texts"),
        (["a", None], ["x", "y"], "document 1 is None"),
        (["a", "b"], ["x"], "2 texts but 1 labels"),
        (["a", "b"], ["x", "x"], "class"),
        (["a", "b"], ["x", 3], r"labels of mixed types: .* for example with str\(\)$"),
        (["a", "b"], [0.5, 1.0], r"Unknown label type: y has quantities \(continuous\), 0.5 first"),
        (["a", "b"], [["x"], ["y"]], r"several labels a document, \['x'\] first; .* use memenc train"),
    ],
)
def test_refuses(backbone, texts, labels, message):
    with pytest.raises(ValueError, match=message):
        tiny_classifier(backbone).fit(texts, labels)


def test_training_documents_without_a_token_are_named_or_refused(backbone):
    texts, labels = tiny_documents(12, (5, 20), seed=9)
    classifier = tiny_classifier(backbone, training=TINY_TRAINING | {"epochs": 1})
    with pytest.raises(ValueError, match="not one of the 12 training documents has a token"):
        classifier.fit(["", " "] * 6, labels)
    said = r"2 of 12 documents have no tokens \(number 3, 5, counted from 0\): nothing but their label is learned"
    some = [" " if place in (3, 5) else text for place, text in enumerate(texts)]
    with pytest.warns(UserWarning, match=said) as warned:
        classifier.fit(some, labels)
    assert [each.filename for each in warned if "no tokens" in str(each.message)] == [__file__]


def test_refuses_settings_that_do_not_exist(backbone):
    texts, labels = tiny_documents(4, (5, 6), seed=10)
    with pytest.raises(ValueError, match="no training setting epoch"):
        tiny_classifier(backbone, training={"epoch": 3}).fit(texts, labels)
    with pytest.raises(ValueError, match="unknown memory"):
        tiny_classifier(backbone, memory="elephant").fit(texts, labels)
    with pytest.raises(ValueError, match="no option windows"):
        tiny_classifier(backbone, memory_options={"windows": 4}).fit(texts, labels)


def test_odd_texts_are_read(fitted):
    odd = ["", "   ", "word1", "\x00", "\ud800 word2", "x" * 100_000, "\u2028", "excellent " * 3_000]
    said = r"3 of 8 documents have no tokens \(number 0, 1, 6, counted from 0\)"
    with pytest.warns(UserWarning, match=said) as warned:
        probabilities = fitted.predict_proba(odd)
    assert np.isfinite(probabilities).all()
    assert (probabilities[0] == probabilities[1]).all()
    with pytest.warns(UserWarning, match=said) as again:
        assert (fitted.predict(odd) == fitted.classes_[probabilities.argmax(1)]).all()
    # It points at the line that predicts.
    assert [each.filename for each in (*warned, *again)] == [__file__] * 2
    with pytest.warns(UserWarning, match=r"12 of 12 .* \(number 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, \.\.\., counted"):
        fitted.predict([""] * 12)


# Scikit-learn's check_estimator yields nothing for estimators that take text: most checks feed tables of numbers.
# These are the ones that feed nothing; the tests after them do with texts what the others do with tables.
CHECKS = [
    estimator_checks.check_estimator_cloneable,
    estimator_checks.check_estimator_tags_renamed,
    estimator_checks.check_valid_tag_types,
    estimator_checks.check_estimator_repr,
    estimator_checks.check_no_attributes_set_in_init,
    estimator_checks.check_parameters_default_constructible,
    estimator_checks.check_get_params_invariance,
    estimator_checks.check_set_params,
    estimator_checks.check_mixin_order,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_passes_check_of_scikit_learn(check):
    assert check("LongDocumentClassifier", LongDocumentClassifier()) is None


def test_unfitted_raises_not_fitted(backbone):
    for call in ("predict", "predict_proba"):
        with pytest.raises(NotFittedError):
            getattr(tiny_classifier(backbone), call)(["a text"])


def test_fit_changes_no_parameter_and_fitting_again_gives_the_same(backbone):
    texts, labels = tiny_documents(12, (5, 40), seed=11)
    classifier = tiny_classifier(backbone, training=TINY_TRAINING | {"epochs": 1})
    before = repr(classifier.get_params())
    first = classifier.fit(texts, labels).predict_proba(texts)
    assert repr(classifier.get_params()) == before
    assert (classifier.fit(texts, labels).predict_proba(texts) == first).all()


def test_pickled_copy_predicts_the_same(fitted):
    texts, _ = tiny_documents(6, (5, 60), seed=12)
    pickled = pickle.dumps(fitted)
    copy = pickle.loads(pickled)
    assert (copy.predict_proba(texts) == fitted.predict_proba(texts)).all()
    # Texts stay where they are, and the fitted one keeps them.
    assert fitted.training_texts_[0].encode() not in pickled and not hasattr(copy, "training_texts_")
    assert clone(copy).get_params() == fitted.get_params()


def test_a_copy_reports_on_training_documents_that_it_is_given(fitted, tmp_path):
    texts, labels = tiny_documents(20, (5, 60), seed=8)
    training = tiny_documents(160, (5, 60), seed=1)
    wanted = fitted.report(texts, labels, ["tf-idf"])
    fitted.save_pretrained(tmp_path / "saved")
    for copy in (pickle.loads(pickle.dumps(fitted)), LongDocumentClassifier.from_pretrained(tmp_path / "saved")):
        found = copy.report(texts, labels, ["tf-idf"], training=training)
        assert [(row.name, row.accuracy) for row in found.rows] == [(row.name, row.accuracy) for row in wanted.rows]
    with pytest.raises(ValueError, match="160 texts but 3 labels"):
        fitted.report(texts, labels, ["tf-idf"], training=(training[0], ["good"] * 3))


def test_a_classifier_goes_to_the_device_that_is_named(fitted, tmp_path, monkeypatch):
    assert fitted.to("cpu") is fitted and fitted.model_.device.type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="device cuda: torch sees no CUDA device here"):
        fitted.to("cuda")
    fitted.save_pretrained(tmp_path / "saved")
    moved = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(type(fitted.model_), "to", lambda self, device: moved.append(str(device)) or self)
    for device in (None, "cpu", "cuda:1"):
        LongDocumentClassifier.from_pretrained(tmp_path / "saved", device)
    assert moved == ["cuda", "cpu", "cuda:1"]


@pytest.mark.parametrize("container", [list, tuple, np.array], ids=["list", "tuple", "array"])
def test_takes_any_sequence_and_any_kind_of_label(backbone, container):
    texts, labels = tiny_documents(12, (5, 20), seed=13)
    numbers = [7 if label == "good" else 3 for label in labels]
    classifier = tiny_classifier(backbone, training=TINY_TRAINING | {"epochs": 1})
    predicted = classifier.fit(container(texts), container(numbers)).predict(container(texts))
    assert set(predicted.tolist()) <= {3, 7}
