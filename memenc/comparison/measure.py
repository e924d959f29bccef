"""Train one cell, test it at every length, count what it costs."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from torch import Tensor

from memenc.comparison.cells import Cell
from memenc.comparison.checkpoints import Checkpoints
from memenc.comparison.readers.base import Reader, Tell
from memenc.comparison.readers.build import reader_for
from memenc.comparison.recipe import answered
from memenc.comparison.weights import WeightStore
from memenc.data.memory_tasks import MemoryTask
from memenc.storage.results import environment_columns

# A token that is learned from costs about as much as so many that are only read.
LEARNED = 3


def measure(cell: Cell, tell: Tell, weights: WeightStore | None = None) -> dict[str, Any]:
    """Facts of one cell, with a list of rows, one per length.

    Args:
        cell: to be trained and tested.
        tell: is told the share that is done.
        weights: where trained weights are kept; what was trained before is not trained again.

    Raises:
        NotRun: this machine cannot run it.
    """
    task = cell.new_task()
    reader, progress = reader_for(cell, task), CellProgress(cell, task, tell)
    facts = trained(cell, reader, lambda share: tell(progress.training * share), weights)
    facts |= {"segment_length": task.segment_length, "chance": task.chance}
    facts |= reader.cost(facts["trained_segments"])
    test = cell.test_task()
    rows = [tested(cell, reader, test, segments, progress) for segments in sorted(set(cell.lengths))]
    return facts | {"rows": rows, "environment": environment_columns()}


def trained(cell: Cell, reader: Reader, tell: Tell, store: WeightStore | None) -> dict[str, Any]:
    """How the training went, now or before."""
    kept = None if store is None else store.kept(cell)
    if kept is not None and reader.take(kept[0]):
        return kept[1]
    checkpoints = Checkpoints(store and store.of_trainings(), cell)
    facts = reader.train(tell, checkpoints) | {"training_seconds": round(checkpoints.seconds, 1)}
    weights = reader.weights()
    if store is not None and weights:
        store.keep(cell, weights, facts)
        checkpoints.drop()
    return facts


class CellProgress:
    """How much of a cell is done, by tokens: long test documents may take longer than the training.

    Args:
        cell: that is measured.
        task: of the cell.
        tell: is told the share that is done.
    """

    def __init__(self, cell: Cell, task: MemoryTask, tell: Tell) -> None:
        recipe, length = cell.training, task.segment_length
        learned = LEARNED * recipe.steps * recipe.documents * recipe.segments / 2 * length
        self.tokens = sum(documents_at(cell, n * length) * n * length for n in set(cell.lengths))
        self.training, self.tell, self.read = learned / (learned + self.tokens), tell, 0
        self.seconds = 0.0

    def answers(self, reader: Reader, ids: Tensor) -> Tensor:
        """Answers of the reader, taken note of piece by piece; `seconds` is what they took so far."""
        started = time.monotonic()
        found = reader.answers(ids, self._note).cpu()
        self.seconds += time.monotonic() - started
        return found

    def _note(self, tokens: int) -> None:
        self.read += tokens
        self.tell(self.training + (1 - self.training) * min(0.99, self.read / self.tokens))


def tested(cell: Cell, reader: Reader, task: MemoryTask, segments: int, progress: CellProgress) -> dict[str, Any]:
    """Result at one length, or the reason why there is none."""
    row: dict[str, Any] = {"segments": segments, "tokens": segments * task.segment_length}
    least, most = task.least_segments, task.most_segments
    below = f"{task.name} needs at least {least} segments of this length" if segments < least else None
    beyond = f"{task.name} has at most {most} segments" if most is not None and segments > most else None
    reason = below or beyond or reader.why_not(segments)
    if reason is not None:
        return row | {"not_run": reason}
    documents = documents_at(cell, row["tokens"], task.candidates)
    before = progress.seconds
    # All contenders of a seed read the same documents.
    answers = partial(progress.answers, reader)
    right, parts = answered(answers, task, segments, documents, cell.seed_of(f"test {segments}"))
    seconds = progress.seconds - before
    row |= scored(right)
    if task.parts:
        row["parts"] = {
            part.name: scored(right[parts == number]) | {"chance": part.chance}
            for number, part in enumerate(task.parts[:documents])
        }
    row |= {"tokens_per_second": round(documents * row["tokens"] / max(seconds, 1e-9))}
    return row | reader.memory(segments)


def scored(right: Tensor) -> dict[str, Any]:
    """Documents, right answers and their share."""
    return {"documents": len(right), "right": int(right.sum()), "accuracy": float(right.double().mean())}


def documents_at(cell: Cell, tokens: int, candidates: int = 0) -> int:
    """Test documents of so many tokens each; whole groups where documents are candidates of each other."""
    count = min(cell.testing.documents, max(cell.testing.fewest_documents, cell.testing.tokens // tokens))
    return -(-count // candidates) * candidates if candidates else count
