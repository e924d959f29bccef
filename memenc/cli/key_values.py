"""Options of the form key=value: of the memory design, and of the model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

MEMORY_OPTION, MODEL_OPTION = "--memory-option", "--model-option"
# Fields of MemencConfig that --model-option may give.
MODEL_OPTIONS = (
    *("memory_layers", "learned_start", "bptt_segments", "segments_per_call", "sliding_window_layers"),
    *("readout_layers", "document_queries", "document_temperature", "attention_dropout", "classifier_dropout"),
)
# What decides the others.
DECIDED_BY = {
    "backbone": "--backbone",
    "attention_layers": "the backbone",
    "memory": "--memory",
    "memory_options": MEMORY_OPTION,
    "segment_length": "--segment-length",
    "readout": "--readout",
    "special_tokens": "the tokenizer",
    "instruction": "--instruction of memenc train",
    "question_position": "--question-position of memenc train",
    "problem_type": "--problem-type of memenc train",
    "pair_temperature": "--temperature of memenc train",
    "pair_loss": "--task of memenc train, and its records",
    "num_labels": "the labels of the records",
    "id2label": "the labels of the records",
    "label2id": "the labels of the records",
}


def memory_options(given: Sequence[str]) -> dict[str, Any]:
    """Keyword arguments of a design, each a number, true, false, null or text.

    Raises:
        ValueError: something else, no key, no value, or a key given twice.
    """
    found = key_values(MEMORY_OPTION, given, "slots=64")
    for key, value in found.items():
        if isinstance(value, list | dict):
            text = f"{key}={json.dumps(value)}"
            raise ValueError(f"{MEMORY_OPTION} {text!r}: the value must be a number, true, false, null or text")
    return found


def model_options(given: Sequence[str]) -> dict[str, Any]:
    """Fields of MemencConfig that a user may choose and that have no option of their own; its checks take the values.

    Raises:
        ValueError: another field, no key, no value, or a key given twice.
    """
    found = key_values(MODEL_OPTION, given, "memory_layers=[2,3]")
    for key in found:
        if key in DECIDED_BY:
            raise ValueError(f"{MODEL_OPTION} {key}: decided by {DECIDED_BY[key]}; leave it out")
        if key not in MODEL_OPTIONS:
            raise ValueError(f"{MODEL_OPTION} {key}: there is no such field; there are: {', '.join(MODEL_OPTIONS)}")
    return found


def key_values(option: str, given: Sequence[str], example: str) -> dict[str, Any]:
    """What was given as key=value, values as JSON reads them, else as text.

    Args:
        option: under which it was given.
        given: as it was written.
        example: of a key and its value, for messages.

    Raises:
        ValueError: no key, no value, or a key given twice.
    """
    found: dict[str, Any] = {}
    for each in given:
        key, _, text = each.partition("=")
        if not (key and text):
            raise ValueError(f"{option} {each!r}: write key=value, such as {example}")
        if key in found:
            raise ValueError(f"{option} {key} is given twice; give it once")
        found[key] = _value(text)
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
