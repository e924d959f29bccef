"""Runs that leave checkpoints in their output folder: begun, gone on from, stopped, and scored at their end."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from memenc.cli import console
from memenc.pretrained import MemencPreTrainedModel
from memenc.storage.files import write_whole
from memenc.training.run import Documents, scored
from memenc.training.tasks import Examples
from memenc.training.tasks.objective import Objective

RUN_FILE = "run.json"
# Parts of examples from which something is learned.
LEARNED = {"input_ids", "pair_input_ids", "question_ids", "option_ids", "labels", "spans", "evidence", "firsts"}
# Hashes of what is read.
CONTENT = {
    "training_content": "other training documents or labels",
    "validation_content": "other validation documents or labels",
}
# They change the memory that training needs, not its result.
FREE_ON_RESUME = ("tokens_per_batch", "activation_checkpointing", "save_steps")


def check_checkpoints(folder: Path, resume: bool, overwrite: bool) -> None:
    """Make sure that checkpoints of two runs do not mix.

    Raises:
        ValueError: there are checkpoints, and nobody said what to do with them.
    """
    found = any(folder.glob("checkpoint-*"))
    if resume and overwrite:
        raise ValueError("--resume and --overwrite contradict each other; give one of them")
    if found and not (resume or overwrite):
        raise ValueError(
            f"{folder} holds checkpoints of an earlier run; add --resume or --overwrite, or change --output"
        )
    if resume and not found:
        console.note(f"no checkpoint in {folder}: starting from the beginning", style="yellow")


def start_run(folder: Path, run: dict[str, Any], resume: bool) -> None:
    """Write down what is trained on what; when going on from a checkpoint, make sure that it is the same.

    Raises:
        ValueError: the earlier run was another one.
    """
    file = folder / RUN_FILE
    if resume and file.is_file():
        changed = differences(earlier_run(file), run)
        if changed:
            raise ValueError(f"--resume: the earlier run had {'; '.join(changed)}. Give the same, or another --output")
    elif not resume:
        # Only now, when nothing can be wrong with what was asked for any more, and nothing but what a run left here.
        for checkpoint in folder.glob("checkpoint-*"):
            shutil.rmtree(checkpoint, ignore_errors=True)
        file.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(file, json.dumps(run, indent=2))


def earlier_run(file: Path) -> dict[str, Any]:
    """What an earlier run wrote down.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError(f"it holds {type(found).__name__}")
    except ValueError as error:
        raise ValueError(
            f"--resume: {file} is damaged ({error}), so nobody knows what the earlier run was. Delete it if it was "
            "this one, or give --overwrite instead of --resume, or another --output"
        ) from error
    return found


def digest_of(examples: Documents | None) -> str | None:
    """SHA-256 of what is read and learned, so that a run goes on with the same documents and labels only."""
    if examples is None:
        return None
    found = hashlib.sha256()
    for index in range(len(examples)):
        item = examples[index]
        for name in sorted(LEARNED & set(item)):
            found.update(name.encode() + content_of(item[name]))
    return found.hexdigest()


def content_of(value: Any) -> bytes:
    """Numbers, arrays and lists of them as bytes."""
    if isinstance(value, list | tuple):
        return b"[" + b",".join(map(content_of, value)) + b"]"
    return np.asarray(value).tobytes() if isinstance(value, np.ndarray | Tensor) else repr(value).encode()


def differences(earlier: Any, now: Any, name: str = "") -> list[str]:
    """What differs between two runs, in words, except for settings that leave the result as it is."""
    if not (isinstance(earlier, dict) and isinstance(now, dict)):
        return [] if earlier == now else [f"{name} {earlier!r}, this one {now!r}"]
    # Runs of before do not know what they read.
    other = [words for key, words in CONTENT.items() if key in earlier and key in now and earlier[key] != now[key]]
    # Where documents are others, so are all the numbers of the report on them.
    passed_over = (*FREE_ON_RESUME, *CONTENT, *(("corpus",) if other else ()))
    keys = [key for key in {**earlier, **now} if key not in passed_over]
    return other + [text for key in keys for text in differences(earlier.get(key), now.get(key), key)]


@contextmanager
def hint_when_stopped() -> Iterator[None]:
    """Say how to go on when somebody stops the training."""
    try:
        yield
    except KeyboardInterrupt:
        console.note("stopped; the same command with --resume goes on from the last checkpoint", style="yellow")
        raise


def show_scores(model: MemencPreTrainedModel, objective: Objective, validation: Examples) -> dict[str, float]:
    """Scores of a trained model on the validation documents, as a table and as plain values."""
    found = scored(model, objective, validation)
    documents = len(validation.document_lengths)
    console.out().print(console.facts("validation", {"documents": documents, **found}))
    return found
