"""Faults put in on purpose, in large numbers: what the tests of tests/reliability do in small.

    python -m benchmarks.reliability [--rows R7 R8 R9 R10 R11 R21] [--what WORDS] [--share 1.0] [--seed 0]

One row per fault goes to benchmarks/results/reliability.csv: how often it was tried, and how often memenc held. All of
it takes about half an hour on two cores, `--share 0.02` some minutes.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from transformers.utils import logging

from benchmarks.reliability.damage import checkpoints_in, damage_file, files_of, outcomes_of_mutations
from benchmarks.reliability.damage import passed_over_aloud as passed_over
from benchmarks.reliability.fuzz import TEXTS_PER_BATCH, fuzzed_texts, problems_of
from benchmarks.reliability.golden import DESIGNS, configuration, model_of, tokens
from benchmarks.reliability.kills import finish, killed_and_resumed
from benchmarks.reliability.pickles import attacks_on_models, payloads, sealed_again
from benchmarks.reliability.saves import SAVES, stopped_while_saving
from benchmarks.reliability.training import KINDS, Job
from memenc import MemencForSequenceClassification, MemencModel, MemoryState
from memenc.storage.results import append_rows, environment_columns
from tests.backbones import tiny_backbone
from tests.data.tiny_tokenizers import tiny_tokenizer

RESULTS = Path(__file__).parents[1] / "results" / "reliability.csv"
KILLS, KILLS_PER_RUN, STEPS = 20, 4, 13
Count = Callable[[int], int]
# Tries, those that passed, and what else there is to say.
Outcome = tuple[int, int, str]


def kills(kind: str, folder: Path, seed: int, count: Count) -> Outcome:
    """Trainings killed and resumed: hits in runs whose weights came out the same."""
    tries = passed = runs = 0
    while tries < count(KILLS):
        hits, same = killed_and_resumed(kind, folder / str(runs), seed + runs, KILLS_PER_RUN, STEPS)
        tries, passed, runs = tries + hits, passed + hits * same, runs + 1
        shutil.rmtree(folder / str(runs - 1))
    return tries, passed, f"{runs} runs, each compared with one that was left alone"


def damaged_checkpoints(folder: Path, seed: int, count: Count) -> Outcome:
    """The last checkpoint damaged: passed over aloud, and in a tenth of the tries trained on from the one before."""
    job = Job(next(iter(KINDS)), folder / "job", seed)
    weights, passed, resumed = finish(job), 0, 0
    for number in range(count(200)):
        again = Job(job.kind, folder / "again", seed)
        shutil.copytree(job.folder, again.folder)
        (again.folder / "weights.sha256").unlink()
        damage_file(random.choice(files_of(checkpoints_in(again.checkpoints)[-1])))
        if number % 10 == 0:
            resumed += 1
            passed += finish(again) == weights and "is not whole" in again.said
        else:
            passed += passed_over(again.checkpoints)
        shutil.rmtree(again.folder)
    return count(200), passed, f"{resumed} of them trained to the end: the same weights"


def damaged_states(folder: Path, seed: int, count: Count) -> Outcome:
    """State files of every design damaged: refused, or loaded as they were."""
    tries, found = 0, dict.fromkeys(("refused", "harmless"), 0)
    for design in DESIGNS:
        place = folder / design
        place.mkdir(parents=True)
        with torch.no_grad():
            state = model_of(configuration(design))(tokens(21, 0)).memory
        state.save(place / "state.safetensors")
        load = partial(MemoryState.load, place / "state.safetensors")
        outcomes = outcomes_of_mutations(place, count(5_000) // len(DESIGNS) + 1, load, partial(same_state, state))
        tries += sum(outcomes.values())
        for name, number in outcomes.items():
            found[name] = found.get(name, 0) + number
    return tries, found["refused"] + found["harmless"], told(found)


def damaged_models(folder: Path, seed: int, count: Count) -> Outcome:
    """Folders of models damaged, one file at a time: refused, or loaded as they were."""
    model_of(configuration("compressive")).save_pretrained(folder)
    model = MemencModel.from_pretrained(folder)
    found = outcomes_of_mutations(
        folder, count(5_000), partial(MemencModel.from_pretrained, folder), partial(same_model, model)
    )
    return sum(found.values()), found["refused"] + found["harmless"], told(dict(found))


def attacks(folder: Path, seed: int, count: Count) -> Outcome:
    """Pickles and names of code in states and models, with checksums that fit: refused, and never run."""
    target, passed = folder / "ran", 0
    model_of(configuration("none")).save_pretrained(folder / "model")
    loads: list[Callable[[], object]] = []
    for number, (name, attack) in enumerate(attacks_on_models(target).items()):
        place = shutil.copytree(folder / "model", folder / str(number))
        attack(place)
        if not name.endswith("checksums"):
            sealed_again(place)
        loads.append(partial(MemencModel.from_pretrained, place))
    for number, content in enumerate(payloads(target).values()):
        (folder / f"state-{number}").write_bytes(content)
        loads.append(partial(MemoryState.load, folder / f"state-{number}"))
    for load in loads:
        try:
            load()
        except (ValueError, OSError):
            passed += not target.exists()
    return len(loads), passed, "code was run" if target.exists() else "no code was run"


def fuzz(folder: Path, seed: int, count: Count) -> Outcome:
    """Strange texts read by two families of tokenizers."""
    generator, tries, problems = random.Random(seed), 0, []
    for family in ("wordpiece", "byte level"):
        tokenizer = tiny_tokenizer(family)
        options = {"window": 16, "slots": 4, "rate": 4}
        model = MemencForSequenceClassification.from_backbone(
            tiny_backbone("bert", vocab_size=len(tokenizer)), "compressive", options, tokenizer, segment_length=128
        )
        texts = list(fuzzed_texts(generator, count(5_000), giants=count(5)))
        generator.shuffle(texts)
        for start in range(0, len(texts), TEXTS_PER_BATCH):
            found = problems_of(model, tokenizer, texts[start : start + TEXTS_PER_BATCH])
            problems += [found] * min(TEXTS_PER_BATCH, len(texts) - start) if found else []
        tries += len(texts)
    return tries, tries - len(problems), "; ".join(sorted({text for found in problems for text in found}))[:300]


def stopped_saves(kind: str, folder: Path, seed: int, count: Count) -> Outcome:
    """Processes stopped while they save, half of them by SIGTERM and half by SIGKILL."""
    found = [stopped_while_saving(kind, folder / str(number), number % 2 == 0) for number in range(count(50))]
    outcomes = {name: found.count(name) for name in ("whole", "refused", "silent")}
    return len(found), outcomes["whole"], told(outcomes)


def same_state(state: MemoryState, again: MemoryState) -> bool:
    return state.fingerprint == again.fingerprint and same_tensors(state.tensors, again.tensors)


def same_model(model: MemencModel, again: MemencModel) -> bool:
    return model.config.to_dict() == again.config.to_dict() and same_tensors(model.state_dict(), again.state_dict())


def same_tensors(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(
        left[name].dtype == right[name].dtype and torch.equal(left[name], right[name]) for name in left
    )


def told(outcomes: dict[str, int]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in outcomes.items())


ROWS: list[tuple[str, str, Callable[[Path, int, Count], Outcome]]] = [
    *(("R7", f"kill -9 in training and resume: {kind}", partial(kills, kind)) for kind in KINDS),
    ("R8", "last checkpoint damaged", damaged_checkpoints),
    ("R9", "state file damaged", damaged_states),
    ("R9", "file of a model damaged", damaged_models),
    ("R10", "pickles and names of code", attacks),
    ("R11", "fuzzed texts", fuzz),
    *(("R21", f"stopped while saving: {kind}", partial(stopped_saves, kind)) for kind in SAVES),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", default=sorted({row for row, _, _ in ROWS}))
    parser.add_argument("--what", default="", help="only what has these words in its description")
    parser.add_argument("--share", type=float, default=1.0, help="of the full counts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    logging.disable_progress_bar()
    for row, what, measure in ROWS:
        if row not in arguments.rows or arguments.what not in what:
            continue
        random.seed(arguments.seed)
        torch.manual_seed(arguments.seed)
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            tries, passed, note = measure(
                Path(folder) / "work", arguments.seed, lambda full: max(1, round(full * arguments.share))
            )
        found = {"row": row, "what": what, "tries": tries, "passed": passed, "note": note, "seed": arguments.seed}
        print(found, flush=True)
        append_rows(arguments.output, [found | {"seconds": round(time.monotonic() - started)} | environment_columns()])


if __name__ == "__main__":
    main()
