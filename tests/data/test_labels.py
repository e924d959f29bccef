import dataclasses
import random

import numpy
import pytest

from memenc.data import Labels

SINGLE, MULTI, REGRESSION = "single_label_classification", "multi_label_classification", "regression"


@pytest.mark.parametrize(
    ("values", "classes", "names"),
    [
        (["neg", "pos", "neg"], ("neg", "pos"), ("neg", "pos")),
        ([10, 9, 9, 2], (2, 9, 10), ("2", "9", "10")),
        ([True, False], (False, True), ("False", "True")),
        (numpy.array([3, 1, 3]), (1, 3), ("1", "3")),
        (numpy.array(["b", "a"]), ("a", "b"), ("a", "b")),
    ],
)
def test_classes(values, classes, names):
    labels = Labels.infer(values)
    assert labels == Labels(SINGLE, names, classes)
    assert [type(known) for known in labels.classes] == [type(known) for known in classes]
    assert labels.num_labels == len(classes)
    encoded = labels.encode_all(values)
    assert all(type(number) is int for number in encoded)
    assert [labels.decode(number) for number in encoded] == list(values)


def test_classes_do_not_depend_on_the_order_of_documents():
    values = [f"class {number}" for number in range(20)] * 2
    expected = Labels.infer(values)
    random.shuffle(values)
    assert Labels.infer(iter(values)) == expected


@pytest.mark.parametrize("kind", [list, tuple, set, frozenset])
def test_several_labels_per_document(kind):
    labels = Labels.infer([kind(["b", "a"]), kind([]), kind(["c"])])
    assert (labels.problem_type, labels.names) == (MULTI, ("a", "b", "c"))
    assert labels.encode(kind(["c", "a"])) == [1.0, 0.0, 1.0]
    assert labels.encode(kind([])) == [0.0, 0.0, 0.0]
    assert labels.decode([1.0, 0.0, 1.0]) == ("a", "c")
    assert labels.decode(numpy.array([False, True, False])) == ("b",)


def test_quantities():
    labels = Labels.infer([0.5, 2, numpy.float32(1.5)])
    assert (labels.problem_type, labels.names, labels.num_labels) == (REGRESSION, (), 1)
    assert labels.encode(3) == 3.0
    assert type(labels.encode(numpy.float32(0.5))) is float
    assert labels.decode(numpy.float32(0.5)) == 0.5


def test_the_problem_type_can_be_given():
    assert Labels.infer([1, 2, 3], REGRESSION) == Labels(REGRESSION)
    assert Labels.infer(["1.5", "2"], REGRESSION).encode("1.5") == 1.5
    assert Labels.infer([1.0, 2.0], SINGLE).classes == (1.0, 2.0)


@pytest.mark.parametrize(
    ("values", "problem_type", "message"),
    [
        ([], None, "there are no labels"),
        (["a", "a"], None, "at least 2 classes in the data, but the data contains only one class: 'a'"),
        (["a", 1], None, "mixed types: 'a' is str, 1 of record 1 is int; make them all one type, for .* str\\(\\)$"),
        ([1, True], None, "mixed types: 1 is int, True of record 1 is bool"),
        (["a", float("nan")], None, "nan of record 1 is float"),
        (["a", None], None, "None of record 1 is NoneType"),
        ([{"a": 1}], None, "is dict; use str, int or bool"),
        ([["a"], "b"], None, r"mixed types: \['a'\] is list, 'b' of record 1 is str; .* known only if problem_type"),
        (["a", ["b"]], None, r"mixed types: 'a' is str, \['b'\] of record 1 is list; .* known only if problem_type"),
        ([["a"], "b"], MULTI, "'b' of record 1 is str, but with several labels"),
        ([[], ["a", "b"], [1]], None, "1 of record 2 is int"),
        ([[], []], None, "no document has any label"),
        ([0.5, float("inf")], None, "inf of record 1 is not a finite number"),
        (["a", "b"], REGRESSION, "'a' of record 0 is not a finite number"),
        (["a", "b"], MULTI, "'a' of record 0 is str"),
        (["a", "b"], "ranking", "got 'ranking'"),
    ],
)
def test_unusable_labels(values, problem_type, message):
    with pytest.raises(ValueError, match=message):
        Labels.infer(values, problem_type)


@pytest.mark.parametrize("problem_type", [None, MULTI, REGRESSION])
def test_a_label_is_named_by_its_place(problem_type):
    values = {None: ["a", 1], MULTI: [["a"], "b"], REGRESSION: [0.5, "b"]}[problem_type]
    with pytest.raises(ValueError, match=r"\(line 7\)"):
        Labels.infer(values, problem_type, ["line 5", "line 7"])


@pytest.mark.parametrize("unknown", ["c", 1, None, ["a"], float("nan")])
def test_an_unknown_label_is_named_with_its_record(unknown):
    labels = Labels.infer(["b", "a"])
    with pytest.raises(ValueError) as raised:
        labels.encode_all(["a", "b", unknown])
    assert f"unknown label {unknown!r} of record 2; the training labels are 'a', 'b'" in str(raised.value)
    with pytest.raises(ValueError, match="unknown label"):
        Labels.infer([["a"], ["b"]]).encode(["a", unknown], "train.csv, line 3")


def test_equal_numbers_of_other_types_are_other_labels():
    with pytest.raises(ValueError, match="unknown label True;"):
        Labels.infer([0, 1]).encode(True)
    with pytest.raises(ValueError, match=r"unknown label 1\.0;"):
        Labels.infer([0, 1]).encode(1.0)


@pytest.mark.parametrize("number", [-1, 2])
def test_decoding_what_is_no_class(number):
    with pytest.raises(ValueError, match=rf"class number {number} is not in 0\.\.1"):
        Labels(SINGLE, ("a", "b")).decode(number)
    with pytest.raises(ValueError, match="expected 2 numbers, one per class, got 1"):
        Labels(MULTI, ("a", "b")).decode([1])


@pytest.mark.parametrize(
    "arguments",
    [
        (SINGLE, ()),
        (REGRESSION, ("a",)),
        (SINGLE, ("a", "a")),
        (SINGLE, ("a", "b"), (1,)),
        ("ranking", ("a", "b")),
    ],
)
def test_impossible_labels(arguments):
    with pytest.raises(ValueError):
        Labels(*arguments)


def test_labels_are_frozen_and_classes_default_to_names():
    labels = Labels(SINGLE, ["a", "b"])
    assert labels.classes == labels.names == ("a", "b")
    with pytest.raises(dataclasses.FrozenInstanceError):
        labels.names = ()


def test_quantities_written_as_text_are_not_taken_for_classes():
    for values in (["1", "0.37", "2.5"], ["nan", "0.37"]):
        with pytest.raises(ValueError, match=r"'0\.37' are text that reads as numbers with fractions"):
            Labels.infer(values)
    assert Labels.infer(["0.37", "1", "2.5"], problem_type="single_label_classification").classes == (
        "0.37",
        "1",
        "2.5",
    )
    assert Labels.infer(["0.37", "1", "2.5"], problem_type="regression").encode("2.5") == 2.5
    # Whole numbers and versions are names as often as not.
    for names in (["1", "2"], ["1.0", "2.0"], ["1.2", "1.2.3"], ["0.5", "half"]):
        assert Labels.infer(names).classes == tuple(names)
