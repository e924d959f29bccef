"""Every memory design on synthetic memory tasks at equal state bytes: small encoders from scratch, on a CPU.

    python benchmarks/designs/memory_tasks.py [--tasks rewrite,memorize] [--designs linear,gated] [--seeds 0,1,2]

Documents grow while training (a curriculum over the number of segments), gradient goes through all of them, the
checkpoint is chosen on documents four times as long as those trained on, and the test goes on from there. Finished
cells (task, design, seed) are kept in benchmarks/results/memory_tasks.csv and not computed again. Gates start open: a
fresh encoder has nothing to protect, unlike the pre-trained ones that the designs' own starts are made for. Training
ends when validation is perfect, or half-way if three segments were not mastered by then.
"""

from __future__ import annotations

import argparse
import copy
import csv
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import BertConfig, BertModel

from memenc import MemencForSequenceClassification
from memenc.data.memory_tasks import MEMORY_TASKS, MemoryTask
from memenc.data.memory_tasks.associative import Associative
from memenc.memory.base import GATES
from memenc.results import append_rows, environment_columns

RESULTS = Path(__file__).parents[1] / "results" / "memory_tasks.csv"
# Segments -> documents to test on: fewer of the long ones.
FACT_LENGTHS = {2: 512, 16: 512, 64: 512, 256: 256, 1024: 128, 4096: 64}
# Pairs, and one segment more for the question.
PAIR_LENGTHS = {pairs + 1: 512 for pairs in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 50, 75, 100, 150, 200, 300, 500)}
HELD = 0.95
# Archives and summaries without a bound take time that grows with the square of the document.
LONGEST_OF_GROWING = 256
TOKENS_PER_CALL = 16_384
# Accuracy at which documents grow. A design that does not know which entry is the newest cannot be perfect in rewrite.
MASTERED = 0.9
# How much of its segment a token of the lower layers takes in at the start, itself being 1.
GATHERING = 3.0
SETTINGS: dict[str, Any] = {
    "steps": 3_000,
    "segments": 17,  # of the longest training documents
    "documents": 128,  # per step
    "layers": 4,
    "hidden": 64,
    "heads": 4,
    "entries": 24,  # keys and values per layer, whose bytes all designs may use
    # With a memory in the first layer too, a token cannot tell the key beside it from those of other segments.
    "memory_layers": "upper_half",
    "segment_length": 16,  # of memorize and detect
    "key_size": 2,  # of remember
    "learning_rate": 5e-4,
    "gate_learning_rate": 1e-2,
    "weight_decay": 1e-3,
    "warm_up": 100,
    "check": 250,  # steps between validations
    "device": "cpu",
}


def designs(entries: int, layers: int, segment: int) -> dict[str, tuple[str, dict[str, Any]]]:
    """Memory and options of every row, all about as large as `entries` keys and values per layer, where they can be."""
    half, open_bias, open_share = entries // 2, {"initial_bias": 0.0}, {"initial_share": 0.5}
    slots, stretches = min(entries, segment), min(4, entries, segment)
    return {
        "none": ("none", {}),
        "windowed": ("windowed", {"window": entries} | open_bias),
        "moving_average": ("moving_average", {"segments": entries // stretches, "slots": stretches} | open_bias),
        "moving_average-cumulative": ("moving_average", {"average": "cumulative", "slots": slots} | open_bias),
        "compressive": ("compressive", {"window": half, "slots": half, "rate": 4} | open_bias),
        "pyramid": ("pyramid", {"window": 4, "levels": 2, "slots": entries // 8 * 2, "rate": 2} | open_bias),
        "global": ("global", {"keep": "attended", "pinned": half, "window": half} | open_bias),
        "nearest": ("nearest", {"nearest": half, "entries": entries} | open_share),
        "nearest-unbounded": ("nearest", {"nearest": half} | open_share),
        "linear": ("linear", {"rule": "delta"} | open_share),
        "gated": ("gated", {"slots": entries} | open_bias),
        "tokens": ("tokens", {"tokens": 2 * entries * layers} | open_bias),
        "summary": ("summary", {"tokens": 2, "segments": entries * layers} | open_bias),
        "summary-unbounded": ("summary", {"tokens": 2} | open_bias),
        # A row of its matrix is as wide as a head and there are six for each number of a key.
        "associative": ("associative", {"tokens": 2, "key_dim": max(1, round(entries / 3))}),
        # The one that is larger: a matrix cannot be had by halves.
        "windowed+linear": ("windowed+linear", {"windowed": {"window": half} | open_bias, "linear": open_share}),
    }


@dataclass(frozen=True)
class Cell:
    task: str
    design: str
    seed: int


def task_named(name: str, arguments: argparse.Namespace) -> MemoryTask:
    kind = MEMORY_TASKS[name]
    if issubclass(kind, Associative):
        return kind(arguments.key_size if name == "remember" else 1)
    return kind(arguments.segment_length)


def model_for(cell: Cell, task: MemoryTask, arguments: argparse.Namespace) -> MemencForSequenceClassification:
    torch.manual_seed(cell.seed)
    backbone = BertModel(
        BertConfig(
            vocab_size=task.vocabulary_size,
            hidden_size=arguments.hidden,
            num_hidden_layers=arguments.layers,
            num_attention_heads=arguments.heads,
            intermediate_size=2 * arguments.hidden,
            max_position_embeddings=task.segment_length,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            # Unlike a wide encoder a narrow one starts with no contrast at all in its attention at the usual 0.02.
            initializer_range=arguments.hidden**-0.5,
        ),
        add_pooling_layer=False,
    )
    start(backbone)
    entries = arguments.entries
    memories = arguments.layers - arguments.layers // 2 * (arguments.memory_layers == "upper_half")
    memory, options = designs(entries, memories, task.segment_length)[cell.design]
    # "last" is the first token of the last segment, the question's mark: what earlier segments said reaches it through
    # the memory of the layers alone. Pooling readouts would see the whole document, and no layer would need a memory.
    return MemencForSequenceClassification.from_backbone(
        backbone,
        memory=memory,
        memory_options=options,
        memory_layers=arguments.memory_layers,
        readout="last",
        segment_length=task.segment_length,
        segments_per_call=max(1, TOKENS_PER_CALL // (arguments.documents * task.segment_length)),
        document_queries=1,
        document_temperature="fixed",
        classifier_dropout=0.0,
        num_labels=task.labels,
    ).to(arguments.device)


@torch.no_grad()
def start(backbone: BertModel) -> None:
    """A start from which memories are learned in minutes: the lower layers gather, the upper ones compare.

    In the upper half, where the memories are, queries look for what is like them (keys start as queries, Trockman and
    Kolter 2023, arXiv:2305.09828). In the lower half values pass through attention as they are, three times as strong,
    so that every token, and every memory token, knows its segment. Without either, in two layers instead of four, or
    with twice the learning rate, `associative` named any of the values it had seen and stayed there in most runs.
    """
    layers = list(backbone.encoder.layer)
    for layer in layers[len(layers) // 2 :]:
        layer.attention.self.key.load_state_dict(layer.attention.self.query.state_dict())
    for layer in layers[: len(layers) // 2]:
        torch.nn.init.eye_(layer.attention.self.value.weight)
        torch.nn.init.eye_(layer.attention.output.dense.weight).mul_(GATHERING)


def state_bytes(model: MemencForSequenceClassification, segments: int) -> int:
    """What one document of so many segments leaves in the layers, and over them where that comes back in below."""
    ids = torch.ones(1, segments * model.config.segment_length, dtype=torch.long, device=model.device)
    with torch.no_grad():
        tensors = model(ids).memory.tensors
    row = model.memenc.encoder.row_tokens
    counted = ("layers.", "top.") if row is not None and row.streams else ("layers.",)
    return sum(tensor.nbytes for name, tensor in tensors.items() if name.startswith(counted))


def optimizer_for(model: MemencForSequenceClassification, arguments: argparse.Namespace) -> torch.optim.AdamW:
    """Gates travel far and fast; they and memories shrink to nothing under weight decay."""
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        memory = ".backbone." not in name and not name.startswith("classifier")
        rate = arguments.gate_learning_rate if memory and name.endswith(GATES) else arguments.learning_rate
        decay = arguments.weight_decay if parameter.dim() > 1 and not memory else 0.0
        if parameter.requires_grad:
            groups.setdefault((rate, decay), []).append(parameter)
    return torch.optim.AdamW([{"params": part, "lr": rate, "weight_decay": x} for (rate, x), part in groups.items()])


class Curriculum:
    """How many segments the next batch has: the longest grow when they are mastered, short ones then stay in the mix.

    All begin with three segments. One pair is answered by naming it, and what is learned from that hides its key: with
    such documents in the mix from the start no design learned to bind within 2,500 steps.
    """

    def __init__(self, longest: int, seed: int) -> None:
        self.longest, self.shortest, self.now, self.accuracy = longest, min(3, longest), min(3, longest), 0.0
        self.random = random.Random(seed)

    def next(self) -> int:
        kind = self.random.random()
        if self.now == self.shortest:
            return self.now
        if kind < 0.1:
            return 2
        return self.now if kind < 0.5 else self.random.randint(2, self.now)

    def learn_from(self, segments: int, accuracy: float) -> None:
        if segments < self.now:
            return
        self.accuracy = 0.9 * self.accuracy + 0.1 * accuracy
        if self.accuracy >= MASTERED and self.now < self.longest:
            self.now, self.accuracy = min(self.longest, -(-self.now * 3 // 2)), 0.0


@torch.no_grad()
def accuracy_at(
    model: MemencForSequenceClassification, task: MemoryTask, segments: int, documents: int, seed: int, bf16: Any
) -> float:
    """Share of right answers, the documents read in pieces so that memory does not grow with them."""
    model.eval()
    generator = torch.Generator().manual_seed(seed)
    right, side_by_side = 0, min(documents, 128)
    step = max(1, TOKENS_PER_CALL // (side_by_side * task.segment_length)) * task.segment_length
    for _ in range(documents // side_by_side):
        ids, labels = (x.to(model.device) for x in task.batch(generator, side_by_side, segments))
        output = None
        for piece in ids.split(step, dim=1):
            with bf16:
                output = model(piece, memory=output and output.memory)
        right += int((output.logits.argmax(1) == labels).sum())
    return right / (documents // side_by_side * side_by_side)


def learn(model: MemencForSequenceClassification, optimizer: Any, batch: tuple[Tensor, Tensor], bf16: Any) -> float:
    """One step, with its accuracy."""
    model.train()
    ids, labels = (x.to(model.device) for x in batch)
    with bf16:
        output = model(ids, labels=labels)
    output.loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return float((output.logits.argmax(1) == labels).float().mean())


def train(model: MemencForSequenceClassification, task: MemoryTask, cell: Cell, arguments: argparse.Namespace) -> dict:
    """Train the model, leave it at its best checkpoint, and say how it went."""
    longest, far = (min(x, task.most_segments or x) for x in (arguments.segments, 4 * arguments.segments))
    curriculum, optimizer = Curriculum(longest, cell.seed), optimizer_for(model, arguments)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / arguments.warm_up))
    generator = torch.Generator().manual_seed(1_000 + cell.seed)
    bf16 = torch.autocast(model.device.type, torch.bfloat16, enabled=arguments.bf16)
    best, kept, started, running = (-1.0, 0, 0.0), model.state_dict(), time.monotonic(), 0.0
    for step in range(1, arguments.steps + 1):
        segments = curriculum.next()
        right = learn(model, optimizer, task.batch(generator, arguments.documents, segments), bf16)
        schedule.step()
        curriculum.learn_from(segments, right)
        running += (right - running) / min(step, 100)
        if step % arguments.check == 0 or step == arguments.steps:
            near, beyond = (accuracy_at(model, task, x, 256, 2_000 + cell.seed, bf16) for x in (longest, far))
            print(f"{cell} step {step}, up to {curriculum.now} segments: training {running:.2f},", end=" ")
            print(f"{longest}: {near:.2f}, {far}: {beyond:.2f}, {time.monotonic() - started:.0f} s", flush=True)
            if (near + beyond) / 2 >= best[0]:
                best, kept = ((near + beyond) / 2, step, beyond), copy.deepcopy(model.state_dict())
            learned = best[0] == 1.0 and curriculum.now == longest
            if learned or (step >= arguments.steps // 2 and curriculum.now == curriculum.shortest):
                break
    model.load_state_dict(kept)
    columns = ("reached_segments", "steps", "best_step", "validation_accuracy", "training_seconds")
    return dict(zip(columns, (curriculum.now, step, *best[1:], round(time.monotonic() - started)), strict=True))


def measure(cell: Cell, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Train one model and give one row per test length."""
    task = task_named(cell.task, arguments)
    model = model_for(cell, task, arguments)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    facts = vars(cell) | {"state_bytes": state_bytes(model, 64), "parameters": parameters}
    print(*facts.values(), flush=True)
    facts |= (trained := train(model, task, cell, arguments))
    lengths = PAIR_LENGTHS if isinstance(task, Associative) else FACT_LENGTHS
    most = min(task.most_segments or max(lengths), LONGEST_OF_GROWING if "unbounded" in cell.design else max(lengths))
    bf16 = torch.autocast(model.device.type, torch.bfloat16, enabled=arguments.bf16)
    tested, held, started = [], 0, time.monotonic()
    for segments in filter(lambda segments: segments <= most, lengths):
        accuracy = accuracy_at(model, task, segments, lengths[segments], 3_000 + cell.seed, bf16)
        tested.append({"test_segments": segments, "test_documents": lengths[segments], "accuracy": round(accuracy, 4)})
        held = segments - 1 if accuracy >= HELD else held
    facts["test_seconds"] = round(time.monotonic() - started)
    facts |= {"held": held, "bf16": arguments.bf16} | {name: getattr(arguments, name) for name in SETTINGS}
    facts["steps"] = trained["steps"]
    return [facts | row for row in tested]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", default="remember,rewrite,memorize,detect")
    parser.add_argument("--designs", default=",".join(designs(16, 2, 16)))
    parser.add_argument("--seeds", default="0,1,2")
    for name, default in SETTINGS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    environment = environment_columns()
    done = {
        Cell(row["task"], row["design"], int(row["seed"]))
        for row in (csv.DictReader(arguments.output.open()) if arguments.output.exists() else [])
    }
    for seed in map(int, arguments.seeds.split(",")):
        for task in arguments.tasks.split(","):
            for design in arguments.designs.split(","):
                cell = Cell(task, design, seed)
                if cell not in done:
                    rows = [row | environment for row in measure(cell, arguments)]
                    print(*((row["test_segments"], row["accuracy"]) for row in rows), flush=True)
                    append_rows(arguments.output, rows)


if __name__ == "__main__":
    main()
