"""R21: a process that is stopped while it saves leaves the last good file."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers.utils import logging

from benchmarks.reliability.golden import configuration, model_of
from benchmarks.reliability.kills import CONTEXT, SECONDS
from memenc import MemencModel, MemoryState
from memenc.storage.files import check_sealed
from memenc.storage.results import write_results

NUMBERS = 200_000


def save_state(folder: Path, number: int) -> None:
    tensors = {"document.tokens": torch.full((1,), number), "top.keys": torch.full((1, NUMBERS), float(number))}
    MemoryState(tensors, "fingerprint").save(folder / "state")


def state_saved(folder: Path) -> set[float]:
    tensors = MemoryState.load(folder / "state").tensors
    return {float(number) for tensor in tensors.values() for number in tensor.unique()}


def save_results(folder: Path, number: int) -> None:
    write_results(folder / "results", [{"number": number}] * 5_000)


def results_saved(folder: Path) -> set[float]:
    rows = json.loads((folder / "results.json").read_text())["records"]
    return {float(row["number"]) for row in rows} if len(rows) == 5_000 else set()


MODELS: dict[int, MemencModel] = {}


def save_model(folder: Path, number: int) -> None:
    if number not in MODELS:
        MODELS[number] = model_of(configuration("compressive"))
        with torch.no_grad():
            for parameter in MODELS[number].parameters():
                parameter.fill_(number)
    MODELS[number].save_pretrained(folder / "model")


def model_saved(folder: Path) -> set[float]:
    check_sealed(folder / "model")
    tensors = load_file(folder / "model" / "model.safetensors")
    return {float(number) for tensor in tensors.values() for number in tensor.unique()}


SAVES: dict[str, tuple[Callable[[Path, int], None], Callable[[Path], set[float]]]] = {
    "state": (save_state, state_saved),
    "results": (save_results, results_saved),
    "model": (save_model, model_saved),
}


def save_again_and_again(kind: str, folder: Path, saves: Any) -> None:
    """Write two versions in turn until somebody ends it."""
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    while True:
        for number in (1, 2):
            SAVES[kind][0](folder, number)
            saves.value += 1


def stopped_while_saving(kind: str, folder: Path, gently: bool) -> str:
    """Stop a process that saves, by SIGTERM or SIGKILL: what is there then, "whole", "refused" or "silent".

    Args:
        kind: what is saved, a name in SAVES.
        folder: where to.
        gently: SIGTERM instead of SIGKILL.
    """
    folder.mkdir(parents=True, exist_ok=True)
    saves = CONTEXT.Value("i", 0, lock=False)
    process = CONTEXT.Process(target=save_again_and_again, args=(kind, folder, saves))
    process.start()
    end = time.monotonic() + SECONDS
    while saves.value < 2 and process.is_alive() and time.monotonic() < end:
        time.sleep(0.001)
    time.sleep(random.uniform(0.0, 0.1))
    assert process.is_alive(), f"saving {kind} failed"
    (process.terminate if gently else process.kill)()
    process.join()
    try:
        found = SAVES[kind][1](folder)
    except ValueError:
        return "refused"
    return "whole" if found in ({1.0}, {2.0}) else "silent"
