"""Peak memory of reading one document of 100 thousand, 1 million and 10 million tokens, its state saved as it goes.

    python benchmarks/endless.py [--tokens 100000 1000000 10000000] [--memory compressive]

Each number is the peak resident memory of a fresh process that reads words from an iterator through a tiny backbone
(tokens, not weights, are what could pile up) and writes its state every 100,000 tokens.
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
READ = """
import json, random, resource, sys, time
from pathlib import Path
import torch
from memenc.corpus_encoding import DocumentEncoder, EndlessDocument, NewMemory
from tests.tiny import WORDS, save_tiny_backbone
torch.set_num_threads(1)
folder, memory, tokens = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
backbone = save_tiny_backbone(folder / "backbone", positions=512)
encoder = DocumentEncoder(backbone, "cpu", new_memory=NewMemory(memory))
generator = random.Random(0)
pieces = (
    " ".join(generator.choices(WORDS, k=min(1_000, tokens - start))) + " " for start in range(0, tokens, 1_000)
)
seen = []
document = EndlessDocument(encoder, folder / "state", save_every=100_000, advance=seen.append)
started = time.process_time()
document.read(pieces)
print(json.dumps({
    "memory": memory,
    "tokens": sum(seen),
    "peak_kilobytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    "state_kilobytes": round((folder / "state").stat().st_size / 1024),
    "processor_seconds": round(time.process_time() - started, 1),
}))
"""


def reading(memory: str, tokens: int) -> dict:
    """What a fresh process needed to read so many tokens."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", READ, folder, memory, str(tokens)]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", default="compressive")
    parser.add_argument("--tokens", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    arguments = parser.parse_args()
    rows: list[dict] = []
    for tokens in arguments.tokens:
        rows.append(reading(arguments.memory, tokens))
        rows[-1]["ratio"] = round(rows[-1]["peak_kilobytes"] / rows[0]["peak_kilobytes"], 4)
        print(rows[-1], file=sys.stderr, flush=True)
        # Each time: the last length takes the longest.
        write("endless", rows)


if __name__ == "__main__":
    main()
