"""Turn the labels people have into the numbers a head is trained on, and back."""

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from memenc.data.records import Record, Understanding

SINGLE, MULTI, REGRESSION = "single_label_classification", "multi_label_classification", "regression"
PROBLEM_TYPES = (SINGLE, MULTI, REGRESSION)
CLASS_TYPES = (str, int, float)  # bool is an int
MANY = (list, tuple, set, frozenset)
# Where labels are lines of a file, somebody may have asked for bad ones to be skipped.
NONE_SKIPPED = ". Nobody knows which of them are wrong, so none is skipped (--on-bad-record)"


@dataclass(frozen=True)
class Labels:
    """What the labels of a data set are.

    Args:
        problem_type: "single_label_classification", "multi_label_classification" or "regression".
        names: one name per class, in the order of the head's outputs; empty for regression.
        classes: the same as they were given, str, int or bool; the names when left out.

    Raises:
        ValueError: unknown problem type, or names that do not fit it.
    """

    problem_type: str
    names: tuple[str, ...] = ()
    classes: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        if self.problem_type not in PROBLEM_TYPES:
            raise ValueError(f"problem_type must be one of {', '.join(PROBLEM_TYPES)}, got {self.problem_type!r}")
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "classes", tuple(self.classes) or self.names)
        if len(self.classes) != len(self.names) or len(set(self.names)) != len(self.names):
            raise ValueError(f"names must be distinct, one per class, got names {self.names}, classes {self.classes}")
        if (self.problem_type == REGRESSION) != (not self.names):
            raise ValueError(f"{self.problem_type} with the class names {self.names}: only regression has none")

    @property
    def num_labels(self) -> int:
        """Outputs of the head: one per class, one for regression."""
        return len(self.names) or 1

    @classmethod
    def infer(
        cls, values: Iterable[Any], problem_type: str | None = None, places: Sequence[int | str] | None = None
    ) -> "Labels":
        """Look at all training labels: str, int, bool are classes, lists several classes, float a quantity.

        Args:
            values: one label per document.
            problem_type: what they are, if it is not what they look like, such as "regression" for integers.
            places: which record each is of, for messages; None counts from 0.

        Raises:
            ValueError: no labels, fewer than two classes, or labels of mixed or unusable types.
        """
        values = [plain(value) for value in values]
        if not values:
            raise ValueError("there are no labels; pass one label per document")
        positions = range(len(values)) if places is None else places
        if problem_type is None:
            problem_type = looks_like(values)
            refuse_quantities(values)
            refuse_lists_beside_labels(values, positions)
        if problem_type == REGRESSION:
            labels = cls(REGRESSION)
            labels.encode_all(values, places)
            return labels
        if problem_type == MULTI:
            pairs = [(at, each) for at, value in zip(positions, values, strict=True) for each in members(value, at)]
            positions, values = [place for place, _ in pairs], [label for _, label in pairs]
        classes = distinct(values, positions)
        if problem_type == SINGLE and len(classes) < 2:
            raise ValueError(
                "needs samples of at least 2 classes in the data, but the data contains only one class: "
                f"{values[0]!r}; add documents of another class"
            )
        return cls(problem_type, tuple(str(label) for label in classes), classes)

    def encode(self, value: Any, position: int | str | None = None) -> int | list[float] | float:
        """Return the class number, one 0.0 or 1.0 per class, or the quantity.

        Args:
            value: one document's label.
            position: which record it is, for the message.

        Raises:
            ValueError: a label that was not among the training labels, or no finite number.
        """
        if self.problem_type == REGRESSION:
            return finite(value, position)
        if self.problem_type == SINGLE:
            return self._number(plain(value), position)
        present = {self._number(label, position) for label in members(plain(value), position)}
        return [float(number in present) for number in range(len(self.names))]

    def encode_all(
        self, values: Sequence[Any], places: Sequence[int | str] | None = None
    ) -> list[int | list[float] | float]:
        """Encode every label; the message for a bad one names its place, or its position counted from 0.

        Raises:
            ValueError: as `encode`.
        """
        positions = range(len(values)) if places is None else places
        return [self.encode(value, position) for position, value in zip(positions, values, strict=True)]

    def decode(self, encoded: Any) -> Any:
        """Return the class as it was given, a tuple of classes, or a float, for what `encode` returns.

        Raises:
            ValueError: no such class number, or not one number per class.
        """
        if self.problem_type == REGRESSION:
            return float(encoded)
        if self.problem_type == SINGLE:
            if not 0 <= int(encoded) < len(self.classes):
                raise ValueError(f"class number {int(encoded)} is not in 0..{len(self.classes) - 1}")
            return self.classes[int(encoded)]
        if len(encoded) != len(self.classes):
            raise ValueError(f"expected {len(self.classes)} numbers, one per class, got {len(encoded)}")
        return tuple(label for label, present in zip(self.classes, encoded, strict=True) if present)

    @functools.cached_property
    def _numbers(self) -> dict[tuple[type, Any], int]:
        return {(type(label), label): number for number, label in enumerate(self.classes)}

    def _number(self, label: Any, position: int | str | None) -> int:
        # 1, 1.0 and True are equal in Python; as labels they are three.
        if isinstance(label, CLASS_TYPES) and (type(label), label) in self._numbers:
            return self._numbers[type(label), label]
        raise ValueError(
            f"unknown label {label!r}{at(position)}; the training labels are {', '.join(map(repr, self.classes))}"
        )


def looks_like(values: Sequence[Any]) -> str:
    """Return the problem type that the labels suggest."""
    if any(isinstance(value, float) for value in values) and all(type(value) in (int, float) for value in values):
        return REGRESSION
    return MULTI if isinstance(values[0], MANY) else SINGLE


def refuse_quantities(values: Sequence[Any]) -> None:
    """Raise ValueError for labels that are quantities written as text, as all numbers of a CSV file are."""
    fraction = None
    for value in values:
        if not isinstance(value, str):
            return
        try:
            number = float(value)
        except ValueError:
            return
        if fraction is None and math.isfinite(number) and not number.is_integer():
            fraction = value
    if fraction is not None:
        raise ValueError(
            f"labels such as {fraction!r} are text that reads as numbers with fractions; say whether they are "
            "quantities, problem_type='regression' (--problem-type regression), or names of classes, "
            "'single_label_classification'"
        )


def refuse_lists_beside_labels(values: Sequence[Any], positions: Sequence[int | str]) -> None:
    """Raise ValueError if some documents have a list of labels and some have one label."""
    for position, value in zip(positions, values, strict=True):
        if isinstance(value, MANY) != isinstance(values[0], MANY):
            raise ValueError(
                f"labels of mixed types: {values[0]!r} is {type(values[0]).__name__}, {value!r}{at(position)} is "
                f"{type(value).__name__}; give every document one label, or every document a list. Which are wrong, "
                "and may be skipped (--on-bad-record), is known only if problem_type (--problem-type) is given"
            )


def plain(value: Any) -> Any:
    """Return a numpy number, text or bool as Python's own."""
    return value.item() if isinstance(value, numpy.generic) else value


def distinct(values: Sequence[Any], positions: Sequence[int | str]) -> tuple[Any, ...]:
    """Return the sorted classes; raise ValueError for labels that cannot be classes or are of mixed types."""
    if not values:
        raise ValueError("no document has any label; at least one must")
    first = type(values[0])
    for position, value in zip(positions, values, strict=True):
        if not isinstance(value, CLASS_TYPES) or value != value:
            raise ValueError(
                f"label {value!r}{at(position)} is {type(value).__name__}; use str, int or bool, or one list "
                "of them per document, and leave out documents without a label"
            )
        if type(value) is not first:
            raise ValueError(
                f"labels of mixed types: {values[0]!r} is {first.__name__}, {value!r}{at(position)} is "
                f"{type(value).__name__}; make them all one type, for example with str()"
                + (NONE_SKIPPED if isinstance(position, str) else "")
            )
    return tuple(sorted(set(values)))


def members(value: Any, position: int | str | None) -> list[Any]:
    """Return the labels of one document; raise ValueError unless they are a list, tuple or set."""
    if not isinstance(value, MANY):
        raise ValueError(
            f"label {value!r}{at(position)} is {type(value).__name__}, but with several labels per document "
            "each document needs a list, tuple or set of labels, empty if it has none"
        )
    return [plain(label) for label in value]


def finite(value: Any, position: int | str | None) -> float:
    """Return a quantity as float; raise ValueError for anything else, NaN and infinity."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"label {value!r}{at(position)} is not a finite number, which regression needs")
    return number


def at(position: int | str | None) -> str:
    """Return where a label stands, as the end of a phrase."""
    return "" if position is None else f" of record {position}" if isinstance(position, int) else f" ({position})"


class LabelledDocuments(Understanding):
    """Documents whose label is one: text, a whole number, yes or no, a finite number, or a list of such.

    Args:
        problem_type: what the labels are; None leaves that to all of them.
    """

    def __init__(self, problem_type: str | None = None) -> None:
        self.problem_type = problem_type

    def check(self, record: Record) -> None:
        """Refuse what can be no label, whatever the other records have."""
        value = plain(record.label)
        for label in members(value, None) if isinstance(value, MANY) else [value]:
            if isinstance(label, str) and not label.strip():
                raise ValueError("the label is empty; give one, or leave the record out")
            if not isinstance(label, CLASS_TYPES) or (isinstance(label, float) and not math.isfinite(label)):
                raise ValueError(
                    f"label {str(label)[:40]!r} is {type(label).__name__}; use text, whole numbers, yes or no, finite "
                    "numbers for regression, or one list of labels per document"
                )
        if self.problem_type == REGRESSION:
            finite(value, None)
        if self.problem_type == MULTI:
            members(value, None)
        if self.problem_type == SINGLE and isinstance(value, MANY):
            found = f"label {str(value)[:40]!r} is {type(value).__name__}"
            raise ValueError(f"{found}, but {SINGLE} needs one per document")
