"""How every contender is trained: the one place to change when a better recipe is found."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW, Muon, Optimizer

from memenc.comparison.readers.network import Network
from memenc.data.memory_tasks import MemoryTask
from memenc.training.groups import grouped
from memenc.typed import in_range

# Test documents of one batch.
SIDE_BY_SIDE = 128


@dataclass(frozen=True)
class Recipe:
    """Training budget and settings, the same for all contenders.

    Args:
        steps: at most; training ends once validation is perfect, or half-way if the first documents were not mastered.
        segments: of the longest training documents.
        documents: per step.
        learning_rate: of all that has no rate of its own below.
        gate_learning_rate: of the memories' gates, single numbers that travel far.
        weight_decay: of matrices outside memories.
        warm_up: steps in which rates rise.
        mastered: accuracy at which training documents grow.
        check: steps between validations, on documents as long as the longest trained on and as longer ones.
        validation_documents: at each of the two lengths.
        tokens_per_call: documents times tokens of one call, which bounds memory in testing.
        device: of torch.
        bf16: automatic mixed precision.
        backbone_learning_rate: of the encoder, if another: a pre-trained one wants smaller steps than a new memory.
        first_segments: of the training documents until they are mastered. Where they tell too little, what is right by
            accident hides what is right: of stories in segments of one sentence take 4.
        matrix_learning_rate: of the weights of linear layers, which Muon then updates; None leaves them to AdamW. A
            first story that AdamW learned after a plateau of a thousand steps or never is learned after some hundred.
        perfect_checks: validations that must be perfect before training ends. What a memory forgets by little
            goes on shrinking when no answer is wrong any more, which shows on documents far longer than these.
        validation_segments: of the longer validation documents; None for four times the longest trained on.
        weight_average: decay per step of the moving average of the weights, which is what is validated and tested
            (:class:`Average`); None for the last weights.
    """

    steps: int = 3_000
    segments: int = 17
    documents: int = 128
    learning_rate: float = 5e-4
    gate_learning_rate: float = 1e-2
    weight_decay: float = 1e-3
    warm_up: int = 100
    mastered: float = 0.9
    check: int = 250
    validation_documents: int = 256
    tokens_per_call: int = 16_384
    device: str = "cpu"
    bf16: bool = False
    backbone_learning_rate: float | None = None
    first_segments: int = 3
    matrix_learning_rate: float | None = 2e-3
    perfect_checks: int = 1
    validation_segments: int | None = None
    weight_average: float | None = 0.98

    def __post_init__(self) -> None:
        counts = ("steps", "documents", "check", "validation_documents", "tokens_per_call", "perfect_checks")
        in_range("training", {name: getattr(self, name) for name in counts}, 1)
        in_range("training", {name: getattr(self, name) for name in ("warm_up", "weight_decay")}, 0)
        rates = ("learning_rate", "gate_learning_rate", "backbone_learning_rate", "matrix_learning_rate", "mastered")
        in_range("training", {name: getattr(self, name) for name in rates}, 0, open_below=True)
        try:
            kind = torch.device(self.device).type
        except RuntimeError as error:
            raise ValueError(f"training: device={self.device!r}; give one of torch, such as cpu or cuda") from error
        if kind == "cuda" and not torch.cuda.is_available():
            raise ValueError(f"training: device={self.device!r}, but torch sees no CUDA device here")
        if self.segments < 2:
            raise ValueError(f"training: segments={self.segments}; a document has at least 2, the last one asks")
        if self.first_segments < 2:
            raise ValueError(f"training: first_segments={self.first_segments}; a document has at least 2")
        if self.weight_average is not None and not 0 < self.weight_average < 1:
            raise ValueError(f"training: weight_average={self.weight_average}; give a number between 0 and 1, or null")
        if self.validation_segments is not None and self.validation_segments < self.segments:
            longest = f"as many as the longest training documents have ({self.segments}), or null"
            raise ValueError(f"training: validation_segments={self.validation_segments}; give at least {longest}")


class Curriculum:
    """How many segments the next batch has: the longest grow when they are mastered, short ones then stay in the mix.

    All begin with more than one pair. One pair is answered by naming it, and what is learned from that hides its key:
    with such documents in the mix from the start no design learned to bind within 2,500 steps.

    Source: Bulatov et al. 2023 (arXiv:2304.11062), Rodkin et al. 2024 (arXiv:2407.04841).

    Args:
        longest: segments of the longest documents.
        mastered: accuracy at which they grow.
        seed: of the draws.
        least: segments that a document must have.
        first: segments to begin with.
    """

    def __init__(self, longest: int, mastered: float, seed: int, least: int = 2, first: int = 3) -> None:
        self.longest, self.mastered, self.least = longest, mastered, least
        self.shortest = min(max(first, least), longest)
        self.now, self.accuracy = self.shortest, 0.0
        self.random = random.Random(seed)

    @property
    def hopeless(self) -> bool:
        """Whether not even the shortest documents were mastered so far, though there are longer ones."""
        return self.now == self.shortest < self.longest

    def next(self) -> int:
        """Segments of the next batch."""
        kind = self.random.random()
        if self.now == self.shortest:
            return self.now
        if kind < 0.1:
            return self.least
        return self.now if kind < 0.5 else self.random.randint(self.least, self.now)

    def learn_from(self, segments: int, accuracy: float) -> None:
        """Take note of a batch's accuracy."""
        if segments < self.now:
            return
        self.accuracy = 0.9 * self.accuracy + 0.1 * accuracy
        if self.accuracy >= self.mastered and self.now < self.longest:
            self.now, self.accuracy = min(self.longest, -(-self.now * 3 // 2)), 0.0

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"now": self.now, "accuracy": self.accuracy, "random": self.random.getstate()}

    def take(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.now, self.accuracy = state["now"], state["accuracy"]
        self.random.setstate(state["random"])


def longest_trained(recipe: Recipe, task: MemoryTask) -> int:
    """Segments of the longest training documents: what the task can do with, and what it needs."""
    return max(task.least_segments, min(recipe.segments, task.most_segments or recipe.segments))


def learn(
    network: Network, optimizers: Sequence[Optimizer], ids: torch.Tensor, labels: torch.Tensor, recipe: Recipe
) -> float:
    """One step, with its accuracy."""
    network.train()
    ids, labels = ids.to(recipe.device), labels.to(recipe.device)
    with torch.autocast(recipe.device, torch.bfloat16, enabled=recipe.bf16):
        logits, beside = network(ids)
        loss = torch.nn.functional.cross_entropy(logits.float(), labels) + beside
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    for optimizer in optimizers:
        optimizer.step()
    network.zero_grad()
    return float((logits.argmax(1) == labels).float().mean())


def validated(network: Network, task: MemoryTask, longest: int, recipe: Recipe, seed: int) -> float:
    """Mean accuracy on documents as long as those trained on and on longer ones, as far as they can be read."""
    longer = recipe.validation_segments or 4 * longest
    lengths = [min(x, task.most_segments or x) for x in (longest, longer)]
    lengths = [segments for segments in lengths if network.why_not(segments) is None]
    documents = recipe.validation_documents

    def answers(ids: torch.Tensor) -> torch.Tensor:
        return network.answers(ids, recipe)

    right = sum(int(answered(answers, task, segments, documents, seed)[0].sum()) for segments in lengths)
    return right / (documents * len(lengths))


def answered(
    answers: Callable[[torch.Tensor], torch.Tensor], task: MemoryTask, segments: int, documents: int, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Whether the answer to each of some fresh documents is right, and of which part of the task the document is."""
    generator, right, parts = torch.Generator().manual_seed(seed), list[torch.Tensor](), list[torch.Tensor]()
    while documents > 0:
        ids, labels = task.batch(generator, min(documents, SIDE_BY_SIDE), segments)
        right.append(answers(ids).cpu() == labels)
        parts.append(task.part_of(len(ids)))
        documents -= len(ids)
    return torch.cat(right), torch.cat(parts)


def optimizers_of(network: Network, recipe: Recipe) -> list[Optimizer]:
    """AdamW, and Muon for the weights of linear layers if these have a rate.

    Source: Jordan et al. 2024, Muon; its steps scaled to the size of AdamW's as in Liu et al. 2025 (arXiv:2502.16982).
    """
    groups, muons = parameter_groups(network, recipe), list[Optimizer]()
    if recipe.matrix_learning_rate is not None:
        matrices = list(matrices_of(network, recipe))
        own = set(map(id, matrices))
        groups = [group | {"params": [x for x in group["params"] if id(x) not in own]} for group in groups]
        rates: dict[str, Any] = {"lr": recipe.matrix_learning_rate, "weight_decay": recipe.weight_decay}
        muons = [Muon(matrices, **rates, adjust_lr_fn="match_rms_adamw")]
    return [AdamW([group for group in groups if group["params"]]), *muons]


def matrices_of(network: Network, recipe: Recipe) -> Iterator[torch.Tensor]:
    """Weights of linear layers, without an encoder that has a rate of its own."""
    for name, module in network.named_modules():
        apart = recipe.backbone_learning_rate is not None and network.is_of_backbone(f"{name}.weight")
        if isinstance(module, nn.Linear) and module.weight.requires_grad and not apart:
            yield module.weight


def parameter_groups(network: Network, recipe: Recipe) -> list[dict[str, Any]]:
    """Gates have a rate of their own, the encoder may have one, and memories have no weight decay."""

    def rate_of(name: str) -> float:
        own = recipe.backbone_learning_rate
        return own if own is not None and network.is_of_backbone(name) else recipe.learning_rate

    return grouped(network, recipe, rate_of, network.is_of_memory)
