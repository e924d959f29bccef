"""An hour of work in one process: resident memory by minute, and how fast it grows.

    python -m benchmarks.reliability.soak [--minutes 60] [--memory compressive]

Rounds of documents of log-normal lengths through a tiny backbone (tokens, not weights, are what could pile up): all are
encoded in batches, one is read on from a saved state, and some are trained on. A failure is a vector or a loss that is
not finite. The slope is that of a line through the second half, when caches are full.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import torch

from memenc import MemencForSequenceClassification, MemoryState
from memenc.data.batches import parts_of
from memenc.storage.results import append_rows, environment_columns
from tests.backbones import tiny_backbone
from tests.memory.checks import SPECIAL, ragged

RESULTS = Path(__file__).parents[1] / "results" / "soak.csv"
DOCUMENTS, MEDIAN, SPREAD, LONGEST = 64, 150, 1.2, 100_000


def lengths(generator: random.Random) -> list[int]:
    """Tokens of the documents of one round."""
    return [min(LONGEST, 1 + int(generator.lognormvariate(np.log(MEDIAN), SPREAD))) for _ in range(DOCUMENTS)]


def encoded(model: MemencForSequenceClassification, documents: list[torch.Tensor]) -> int:
    """Documents whose vector is not finite."""
    model.eval()
    wrong = 0
    with torch.no_grad():
        for part in parts_of([len(document) for document in documents], 8_192, model.memenc.own_tokens_per_segment):
            ids, mask = ragged([documents[index] for index in part])
            wrong += int((~model.memenc(ids, mask).pooler_output.isfinite().all(1)).sum())
    return wrong


def read_on(model: MemencForSequenceClassification, document: torch.Tensor, file: Path) -> int:
    """1 if what was read on from a saved state is not finite."""
    half = len(document) // 2 + 1
    with torch.no_grad():
        model.memenc(document[None, :half]).memory.save(file)
        vector = model.memenc(document[None, half:], memory=MemoryState.load(file)).pooler_output
    return int(not vector.isfinite().all())


def trained(model: MemencForSequenceClassification, optimizer: torch.optim.Optimizer, documents: list) -> int:
    """1 if the loss of one step is not finite."""
    model.train()
    ids, mask = ragged([document[:500] for document in documents[:8]])
    loss = model(ids, mask, labels=torch.arange(len(ids)) % 2).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return int(not loss.isfinite())


def slope(minutes: list[float], megabytes: list[float]) -> float:
    """Megabytes per hour, through the second half."""
    half = len(minutes) // 2
    if len(minutes) - half < 2:
        return float("nan")
    return round(60 * float(np.polyfit(minutes[half:], megabytes[half:], 1)[0]), 2)


def rounds(model: MemencForSequenceClassification, generator: random.Random) -> Iterator[dict[str, int]]:
    """What was done so far, after every round."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    done = dict.fromkeys(("documents", "tokens", "failures"), 0)
    with tempfile.TemporaryDirectory() as folder:
        while True:
            documents = [torch.randint(5, 58, (length,)) for length in lengths(generator)]
            done["failures"] += encoded(model, documents) + trained(model, optimizer, documents)
            done["failures"] += read_on(model, documents[0], Path(folder) / "state")
            done["documents"] += len(documents)
            done["tokens"] += sum(map(len, documents))
            yield done


def minutely(model: MemencForSequenceClassification, generator: random.Random, longest: float) -> Iterator[dict]:
    """What was done, resident memory and its slope, after the first round and every minute."""
    minutes: list[float] = []
    megabytes: list[float] = []
    process, started = psutil.Process(), time.monotonic()
    for done in rounds(model, generator):
        passed = (time.monotonic() - started) / 60
        if passed >= len(minutes):
            minutes.append(passed)
            megabytes.append(process.memory_info().rss / 2**20)
            memory = {"resident_megabytes": round(megabytes[-1], 1)}
            yield {"minutes": round(passed, 2), **done, **memory, "megabytes_per_hour": slope(minutes, megabytes)}
        if passed >= longest:
            return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--memory", default="compressive")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    model = MemencForSequenceClassification.from_backbone(
        tiny_backbone(), memory=arguments.memory, segment_length=128, special_tokens=SPECIAL, num_labels=2
    )
    facts = {"memory": arguments.memory, "seed": arguments.seed, **environment_columns()}
    for row in minutely(model, random.Random(arguments.seed), arguments.minutes):
        print(row, flush=True)
        append_rows(arguments.output, [row | facts])


if __name__ == "__main__":
    main()
