"""Train one network by the recipe; stopped, the training goes on from its checkpoint as if nothing had been."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, final

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from memenc.comparison.averaging import Average
from memenc.comparison.checkpoints import Checkpoints
from memenc.comparison.readers.network import Network, NotRun
from memenc.comparison.recipe import Curriculum, Recipe, learn, longest_trained, optimizers_of, validated
from memenc.data.memory_tasks import MemoryTask

# Attributes of a training that a checkpoint keeps as they are.
NUMBERS = ("step", "best", "best_step", "perfect")


@final
class Training:
    """A training, from its first step or from a checkpoint.

    Args:
        network: to train, on its device.
        task: gives the documents.
        recipe: settings.
        seed_of: seeds by purpose, the same for all contenders: they see the same documents.

    Raises:
        NotRun: the network cannot read documents as long as it is trained on.
    """

    def __init__(self, network: Network, task: MemoryTask, recipe: Recipe, seed_of: Callable[[str], int]) -> None:
        self.network, self.task, self.recipe, self.seed_of = network, task, recipe, seed_of
        self.longest = longest_trained(recipe, task)
        reason = network.why_not(self.longest)
        if reason is not None:
            raise NotRun(f"training documents of {self.longest} segments: {reason}")
        seed = seed_of("curriculum")
        self.curriculum = Curriculum(self.longest, recipe.mastered, seed, task.least_segments, recipe.first_segments)
        self.optimizers = optimizers_of(network, recipe)
        self.schedules = [
            LambdaLR(each, lambda step: min(1.0, (step + 1) / (recipe.warm_up + 1))) for each in self.optimizers
        ]
        self.generator = torch.Generator().manual_seed(seed_of("training"))
        self.averaged = None if recipe.weight_average is None else Average(network, recipe.weight_average)
        self.step = self.best_step = self.perfect = 0
        self.best, self.kept = -1.0, network.state_dict()

    @property
    def tested(self) -> Network:
        """What is validated and tested: averaged weights, or the last ones."""
        return self.network if self.averaged is None else self.averaged.network

    def run(self, tell: Callable[[float], None], checkpoints: Checkpoints) -> dict[str, Any]:
        """Train to the end, leave the network at its best checkpoint, and say how it went.

        Args:
            tell: is told the share that is done.
            checkpoints: where it goes on from, and is kept.
        """
        recipe, ended = self.recipe, False
        before = checkpoints.kept()
        if before is not None and self._fits(before):
            checkpoints.before, ended = before["seconds"], before["ended"]
            self._take(before)
        while self.step < recipe.steps and not ended:
            self._learn()
            tell(self.step / recipe.steps)
            if self.step % recipe.check == 0 or self.step == recipe.steps:
                ended = self._check()
                if checkpoints.is_due():
                    checkpoints.keep(self._state() | {"ended": ended})
        self.network.load_state_dict(self.kept)
        return {
            "steps": self.step,
            "best_step": self.best_step,
            "validation_accuracy": self.best,
            "reached_segments": self.curriculum.now,
            "trained_segments": self.longest,
        }

    def _learn(self) -> None:
        """One step."""
        self.step += 1
        segments = self.curriculum.next()
        ids, labels = self.task.batch(self.generator, self.recipe.documents, segments)
        self.curriculum.learn_from(segments, learn(self.network, self.optimizers, ids, labels, self.recipe))
        for schedule in self.schedules:
            schedule.step()
        if self.averaged is not None:
            self.averaged.follow(self.network)

    def _check(self) -> bool:
        """Validate, keep what is best; whether the training has ended, learned or hopeless."""
        accuracy = validated(self.tested, self.task, self.longest, self.recipe, self.seed_of("validation"))
        if accuracy >= self.best:
            self.best, self.best_step = accuracy, self.step
            self.kept = copy.deepcopy(self.tested.state_dict())
        self.perfect += accuracy == 1.0
        learned = self.perfect >= self.recipe.perfect_checks and self.curriculum.now == self.longest
        return learned or (self.step >= self.recipe.steps // 2 and self.curriculum.hopeless)

    def _state(self) -> dict[str, Any]:
        """All that the steps to come depend on."""
        return {
            "numbers": {name: getattr(self, name) for name in NUMBERS},
            "network": dict(self.network.state_dict()),
            "kept": dict(self.kept),
            "averaged": None if self.averaged is None else self.averaged.state(),
            "optimizers": [each.state_dict() for each in self.optimizers],
            "schedules": [each.state_dict() for each in self.schedules],
            "curriculum": self.curriculum.state(),
            "generator": self.generator.get_state(),
            # Models of others may draw from it.
            "random": torch.get_rng_state(),
        }

    def _take(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        for name, value in state["numbers"].items():
            setattr(self, name, value)
        self.network.load_state_dict(state["network"])
        self.kept = state["kept"]
        if self.averaged is not None:
            self.averaged.take(state["averaged"])
        for own, kept in ((self.optimizers, state["optimizers"]), (self.schedules, state["schedules"])):
            for each, its_state in zip(own, kept, strict=True):
                each.load_state_dict(its_state)
        self.curriculum.take(state["curriculum"])
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["random"])

    def _fits(self, state: dict[str, Any]) -> bool:
        """Whether code from before had the same weights, and the same groups of them."""
        own = shapes_of(self.network.state_dict()), [sizes_of(each.state_dict()) for each in self.optimizers]
        return own == (shapes_of(state["network"]), [sizes_of(each) for each in state["optimizers"]])


def shapes_of(weights: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    """Of every weight."""
    return {name: weight.shape for name, weight in weights.items()}


def sizes_of(optimizer: Mapping[str, Any]) -> list[int]:
    """How many weights there are in each group."""
    return [len(group["params"]) for group in optimizer["param_groups"]]
