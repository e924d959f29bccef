"""Peak memory of encoding a corpus, by the length of its longest document.

    python benchmarks/longest_document.py [--tokens 1000 10000 100000 1000000] [--memory compressive]

Each number is the peak resident memory of a fresh process that encodes one shard: a hundred documents of 300 tokens and
one that is longer, through a tiny backbone (tokens and what is made of them could pile up, not weights).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from schedules import write

ROOT = Path(__file__).parents[1]
ENCODE = """
import json, random, resource, sys, time
from pathlib import Path
import torch
from memenc.corpus_encoding import DocumentEncoder, NewMemory, Shard, ShardWork
from memenc.data import read_records
from tests.tiny import WORDS, save_tiny_backbone
torch.set_num_threads(1)
folder, memory, tokens = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
encoder = DocumentEncoder(save_tiny_backbone(folder / "backbone", positions=512), "cpu", new_memory=NewMemory(memory))
generator, data = random.Random(0), folder / "data.jsonl"
with data.open("w") as file:
    for length in [300] * 50 + [tokens] + [300] * 50:
        file.write(json.dumps({"text": " ".join(generator.choices(WORDS, k=length))}) + "\\n")
started = time.process_time()
ShardWork(encoder, read_records(str(data), label_column=None), folder / "vectors", Shard(0, 1)).run()
print(json.dumps({
    "memory": memory,
    "longest": tokens,
    "text_kilobytes": round(data.stat().st_size / 1024),
    "peak_kilobytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    "processor_seconds": round(time.process_time() - started, 1),
}))
"""


def encoding(memory: str, tokens: int) -> dict:
    """What a fresh process needed to encode a corpus with such a longest document."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", ENCODE, folder, memory, str(tokens)]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", default="compressive")
    parser.add_argument("--tokens", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000])
    arguments = parser.parse_args()
    rows: list[dict] = []
    for tokens in arguments.tokens:
        rows.append(encoding(arguments.memory, tokens))
        rows[-1]["ratio"] = round(rows[-1]["peak_kilobytes"] / rows[0]["peak_kilobytes"], 4)
        print(rows[-1], file=sys.stderr, flush=True)
    write("longest_document", rows)


if __name__ == "__main__":
    main()
