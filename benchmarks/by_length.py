"""Fresh processes that read more and more tokens, and what each says it needed, beside the first."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from common import RESULTS, write

ROOT = Path(__file__).parents[1]
# Both scripts read made-up words through a tiny backbone: tokens, not weights, are what could pile up.
BEGINNING = """
import json, random, resource, sys, time
from pathlib import Path
import torch
from memenc.corpus_encoding import DocumentEncoder, NewMemory
from tests.tiny import WORDS, save_tiny_backbone
torch.set_num_threads(1)
folder, memory, tokens = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
encoder = DocumentEncoder(save_tiny_backbone(folder / "backbone", positions=512), "cpu", new_memory=NewMemory(memory))
generator = random.Random(0)
def say(started, **facts):
    facts["peak_kilobytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    facts["processor_seconds"] = round(time.process_time() - started, 1)
    print(json.dumps({"memory": memory, **facts}))
"""


def measured(script: str, memory: str, tokens: int) -> dict:
    """What a fresh process said that ran the script behind the beginning."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", BEGINNING + script, folder, memory, str(tokens)]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main(name: str, description: str | None, script: str, lengths: list[int]) -> None:
    """Measure every length that is asked for, and write the table NAME.csv.

    Args:
        name: of the table.
        description: of the command.
        script: continues `BEGINNING` and ends with `say(started, ...)`.
        lengths: in tokens, if no others are asked for.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", default="compressive")
    parser.add_argument("--tokens", type=int, nargs="+", default=lengths)
    arguments = parser.parse_args()
    rows: list[dict] = []
    for tokens in arguments.tokens:
        rows.append(measured(script, arguments.memory, tokens))
        rows[-1]["ratio"] = round(rows[-1]["peak_kilobytes"] / rows[0]["peak_kilobytes"], 4)
        print(rows[-1], file=sys.stderr, flush=True)
        # Each time: the last length takes the longest.
        write(RESULTS / f"{name}.csv", rows)
