"""Tokens per second of encoding a corpus: beside sentence-transformers on one backbone, and by two processes.

    python benchmarks/corpus_speed.py --backbone PATH [--rounds 3] [--tokens 100000] [--two-processes]

Documents are random words, their lengths log-normal, with 100 and 100,000 tokens 2.5 standard deviations from the
middle, and cut off there. sentence-transformers reads every document in chunks of a segment's own tokens and means
their vectors: no token is left out on either side. Where it is not installed, the same is written out with transformers
(chunks sorted by length, batches of 32, no padding beyond the longest of a batch), and the row says so. Times are
processor seconds of one thread, of contenders that take turns; what counts is the ratio. One and two processes are wall
seconds for the same shards, of which each process takes the next that nobody has, as xargs and Slurm hand them out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from common import RESULTS, write
from transformers import AutoModel, AutoTokenizer

from memenc import MemencModel
from memenc.storage.results import version_of

WORDS = "time year people way day man thing woman life child world school state family student group country problem"
SHORTEST, LONGEST = 100, 100_000
SEGMENT = 512
# The default of sentence-transformers, and what is faster on a CPU whose caches hold no more.
BATCH, SMALL_BATCH = 32, 8
# Two would be as uneven as the longest document makes them.
SHARDS = 16


def lengths_of(tokens: int, generator: np.random.Generator) -> list[int]:
    """Lengths of documents of about `tokens` in all: what would be more is left out of the last."""
    middle, deviation = math.log(SHORTEST * LONGEST) / 2, math.log(LONGEST / SHORTEST) / 5
    found: list[int] = []
    while (left := tokens - sum(found)) > 0:
        length = int(np.clip(generator.lognormal(middle, deviation), SHORTEST, LONGEST))
        found.append(max(SHORTEST, min(length, left)))
    return found


def documents_of(tokens: int, seed: int) -> list[str]:
    """Documents of words that are one token each."""
    generator = np.random.default_rng(seed)
    words = np.array(WORDS.split())
    return [" ".join(generator.choice(words, length)) for length in lengths_of(tokens, generator)]


def memenc_reader(path: str, memory: str) -> Callable[[list[str]], np.ndarray]:
    """Encoding by memenc."""
    model = MemencModel.from_backbone(path, memory=memory, segment_length=SEGMENT, readout="mean")
    tokenizer = AutoTokenizer.from_pretrained(path)
    return lambda texts: model.encode(texts, tokenizer).numpy()


def chunks_of(texts: list[str], tokenizer) -> tuple[list[str], list[int]]:
    """Chunks of a segment's own tokens, as text, and the document of each."""
    chunks, owners = [], []
    own = SEGMENT - 2
    for place, text in enumerate(texts):
        offsets = tokenizer(
            text, add_special_tokens=False, truncation=False, return_offsets_mapping=True, verbose=False
        )["offset_mapping"]
        for start in range(0, max(1, len(offsets)), own):
            part = offsets[start : start + own]
            chunks.append(text[part[0][0] : part[-1][1]] if part else "")
            owners.append(place)
    return chunks, owners


def pooled(vectors: np.ndarray, owners: list[int]) -> np.ndarray:
    """Mean of the vectors of every document's chunks."""
    sums = np.zeros((owners[-1] + 1, vectors.shape[1]), np.float32)
    np.add.at(sums, owners, vectors)
    return sums / np.bincount(owners)[:, None]


def sentence_transformers_reader(path: str, batch: int = BATCH) -> Callable[[list[str]], np.ndarray]:
    """Chunk-and-pool by sentence-transformers."""
    from sentence_transformers import SentenceTransformer, models

    transformer = models.Transformer(path, max_seq_length=SEGMENT)
    pooling = models.Pooling(transformer.get_embedding_dimension(), "mean")
    model = SentenceTransformer(modules=[transformer, pooling], device="cpu")
    tokenizer = AutoTokenizer.from_pretrained(path)

    def read(texts: list[str]) -> np.ndarray:
        chunks, owners = chunks_of(texts, tokenizer)
        return pooled(model.encode(chunks, batch_size=batch, show_progress_bar=False), owners)

    return read


def stand_in_reader(path: str, batch: int = BATCH) -> Callable[[list[str]], np.ndarray]:
    """What sentence-transformers computes, written out."""
    model, tokenizer = AutoModel.from_pretrained(path).eval(), AutoTokenizer.from_pretrained(path)

    @torch.inference_mode()
    def read(texts: list[str]) -> np.ndarray:
        chunks, owners = chunks_of(texts, tokenizer)
        order = np.argsort([-len(chunk) for chunk in chunks])
        vectors = np.zeros((len(chunks), model.config.hidden_size), np.float32)
        for start in range(0, len(chunks), batch):
            places = order[start : start + batch]
            inputs = tokenizer([chunks[place] for place in places], padding=True, truncation=True, return_tensors="pt")
            states = model(**inputs).last_hidden_state
            mask = inputs["attention_mask"][..., None]
            vectors[places] = ((states * mask).sum(1) / mask.sum(1)).numpy()
        return pooled(vectors, owners)

    return read


def speed(arguments: argparse.Namespace) -> list[dict]:
    """Rows of contenders that took turns."""
    installed = importlib.util.find_spec("sentence_transformers") is not None
    version = version_of("sentence-transformers")
    name = f"sentence-transformers {version}" if installed else "sentence-transformers, written out with transformers"
    other = sentence_transformers_reader if installed else stand_in_reader
    readers = {f"memenc {memory}": memenc_reader(arguments.backbone, memory) for memory in arguments.memories}
    if installed:
        readers = {f"{name}, batches of {SMALL_BATCH}": other(arguments.backbone, SMALL_BATCH)} | readers
    readers = {name: other(arguments.backbone)} | readers
    warm = documents_of(2_000, seed=1)
    for read in readers.values():
        read(warm)
    times: dict[str, list[float]] = {reader: [] for reader in readers}
    tokens = 0
    for round_number in range(arguments.rounds):
        texts = documents_of(arguments.tokens, seed=round_number + 2)
        tokens += sum(text.count(" ") + 1 for text in texts)
        for reader, read in readers.items():
            started = time.process_time()
            read(texts)
            times[reader].append(time.process_time() - started)
            print(round_number, reader, len(texts), round(times[reader][-1], 2), file=sys.stderr, flush=True)
    ratios = {
        reader: [theirs / ours for theirs, ours in zip(times[name], taken, strict=True)]
        for reader, taken in times.items()
    }
    return [
        {
            "what": reader,
            "processes": 1,
            "tokens": tokens,
            "seconds": round(sum(taken), 2),
            "tokens_per_second": round(tokens / sum(taken)),
            "ratio": round(statistics.median(ratios[reader]), 3),
            "lowest_ratio": round(min(ratios[reader]), 3),
            "highest_ratio": round(max(ratios[reader]), 3),
            "clock": "processor",
        }
        for reader, taken in times.items()
    ]


SHARD = """
import sys, time
from pathlib import Path
import torch
from memenc.corpus_encoding import DocumentEncoder, NewMemory, Shard, ShardWork
from memenc.data import read_records
torch.set_num_threads(1)
data, folder, shards, backbone = sys.argv[1:]
encoder = DocumentEncoder(backbone, "cpu", new_memory=NewMemory())
assert encoder.model_hash
print("ready", flush=True)
sys.stdin.readline()
started = time.perf_counter()
for number in range(int(shards)):
    try:
        Path(f"{folder}-taken-{number}").touch(exist_ok=False)
    except FileExistsError:
        continue
    ShardWork(encoder, read_records(data, label_column=None), Path(folder), Shard(number, int(shards))).run()
print(time.perf_counter() - started, flush=True)
"""


def wall_seconds(data: Path, folder: Path, processes: int, backbone: str) -> float:
    """Time of all shards by so many processes, from when all have loaded their model to when the last has finished."""
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", SHARD, str(data), str(folder), str(SHARDS), backbone],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for _ in range(processes)
    ]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    started = time.perf_counter()
    for worker in workers:
        worker.stdin.write("\n")
        worker.stdin.flush()
    for worker in workers:
        assert float(worker.stdout.readline()) > 0 and worker.wait() == 0
    return time.perf_counter() - started


def two_processes(arguments: argparse.Namespace) -> list[dict]:
    """Rows of one and two processes that took turns at the same shards."""
    times: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as place:
        data = Path(place, "data.jsonl")
        texts = documents_of(2 * arguments.tokens, seed=1)
        data.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        tokens = sum(text.count(" ") + 1 for text in texts)
        for round_number in range(arguments.rounds):
            for processes in (1, 2):
                folder = Path(place, f"{round_number}-{processes}")
                times[processes].append(wall_seconds(data, folder, processes, arguments.backbone))
                print(round_number, processes, round(times[processes][-1], 2), file=sys.stderr, flush=True)
    ratios = [one / two for one, two in zip(times[1], times[2], strict=True)]
    return [
        {
            "what": "memenc compressive",
            "processes": processes,
            "tokens": tokens * arguments.rounds,
            "seconds": round(sum(times[processes]), 2),
            "tokens_per_second": round(tokens * arguments.rounds / sum(times[processes])),
            "ratio": round(statistics.median(found), 3),
            "lowest_ratio": round(min(found), 3),
            "highest_ratio": round(max(found), 3),
            "clock": "wall",
        }
        for processes, found in ((1, [1.0]), (2, ratios))
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", required=True, help="name or path of a BERT-like encoder")
    parser.add_argument("--memories", nargs="+", default=["none", "compressive"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=100_000, help="of one round")
    parser.add_argument("--two-processes", action="store_true", help="one against two processes instead")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.two_processes:
        write(RESULTS / "two_processes.csv", two_processes(arguments))
    else:
        write(RESULTS / "corpus_speed.csv", speed(arguments))


if __name__ == "__main__":
    main()
