"""Training settings: one declaration of every option, shared by Python, scikit-learn and the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np

from memenc.config import python_values
from memenc.typed import check_types

Way = Literal["full", "frozen", "lora", "prefix", "bitfit"]
ClassWeight = Literal["balanced"]
# As in the paper's experiments on RoBERTa (Hu et al. 2021, arXiv:2106.09685).
LORA_RANK = 8
# As NumPy takes them.
SEEDS = 2**32


@dataclass(frozen=True)
class TrainingSettings:
    """How a classifier is fine-tuned.

    Args:
        adapt: what is trained: full (everything), frozen (memory, readout and head), lora (these, and low-rank
            additions to the backbone), prefix (the learned start of the memory, and the head; not with none, nor with
            an associative memory that was never trained), bitfit (memory, readout and head, and the backbone's biases).
        lora_rank: of the additions that lora trains: more of them learn more, and take more memory.
        epochs: passes over the training documents.
        learning_rate: peak, of the backbone where all of it is trained.
        new_learning_rate: peak, of everything the backbone did not bring along: memory, readout, head; and of what lora
            and bitfit train in the backbone.
        gate_learning_rate: peak, of the memories' gates: single numbers such as the bias of reading a slot.
        weight_decay: of matrices of the backbone and the head; memory parameters, biases and norms have none.
        warmup_share: share of the steps in which learning rates rise.
        documents_per_step: documents behind one optimiser step.
        tokens_per_batch: padded tokens that go forward and backward at once; a step is cut into as many parts as this
            needs, so it bounds the memory without changing the result. Documents of a part are of similar length: small
            parts also mean little padding. On a GPU give it more.
        max_gradient_norm: gradients longer than this are cut to it.
        class_weight: balanced lets documents of rare classes count more in the loss, in inverse proportion to how often
            their class is among the training documents, as scikit-learn has it; all count the same if left out.
        patience: epochs without a better validation score after which training stops; 0 never stops early.
        segment_curriculum: rising numbers of segments, such as "1,2,4,8": for the first 60 % of the steps documents are
            read in stretches of at most so many segments, stage by stage, then as a whole; a tenth of all steps reads
            single segments.
        most_segments: read at most so many segments of a training document, from a random place, to the end of the
            training; validation documents are whole, so that the epoch is chosen on longer documents than those trained
            on. None reads training documents whole.
        shortest_first: read the training documents roughly in order of length in the first epoch.
        bf16: automatic mixed precision in bfloat16; pays on GPUs and on processors with bfloat16 instructions.
        activation_checkpointing: keep the activations of one group of segments only and compute the others again.
        seed: of initialisation, order and dropout.
        save_steps: optimiser steps between two checkpoints within an epoch, for epochs that take long; 0 for none.
    """

    adapt: Way = "full"
    lora_rank: int = LORA_RANK
    epochs: float = 3
    learning_rate: float = 5e-5
    new_learning_rate: float = 1e-3
    gate_learning_rate: float = 1e-2
    weight_decay: float = 0.01
    warmup_share: float = 0.1
    documents_per_step: int = 16
    tokens_per_batch: int = 4_096
    max_gradient_norm: float = 1.0
    class_weight: ClassWeight | None = None
    patience: int = 2
    segment_curriculum: str = ""
    most_segments: int | None = None
    shortest_first: bool = False
    bf16: bool = False
    activation_checkpointing: bool = False
    seed: int = 0
    save_steps: int = 0

    def __post_init__(self) -> None:
        check_types(self, "training setting")
        self._check_numbers()
        if self.adapt not in get_args(Way):
            raise ValueError(f"training setting adapt={self.adapt!r}: choose one of {', '.join(get_args(Way))}")
        if self.class_weight not in (None, *get_args(ClassWeight)):
            raise ValueError(f"training setting class_weight={self.class_weight!r}: give 'balanced', or leave it out")
        if self.adapt != "lora" and self.lora_rank != LORA_RANK:
            raise ValueError(
                f"training setting lora_rank={self.lora_rank} changes nothing with adapt={self.adapt!r}; "
                "choose adapt='lora', or leave it out"
            )
        longest = max((1, *self.curriculum_stages()))
        if self.most_segments is not None and self.most_segments < longest:
            raise ValueError(
                f"training setting most_segments={self.most_segments}: give at least {longest}, where "
                f"segment_curriculum={self.segment_curriculum!r} ends, or leave it out"
            )

    def _check_numbers(self) -> None:
        for name in (
            "lora_rank",
            "epochs",
            "learning_rate",
            "new_learning_rate",
            "gate_learning_rate",
            "documents_per_step",
            "tokens_per_batch",
        ):
            if not getattr(self, name) > 0:
                raise ValueError(f"training setting {name}={getattr(self, name)}: give a number above 0")
        for name in ("save_steps", "patience"):
            if getattr(self, name) < 0:
                raise ValueError(f"training setting {name}={getattr(self, name)}: give a whole number, or 0 for none")
        if not 0 <= self.warmup_share < 1:
            raise ValueError(
                f"training setting warmup_share={self.warmup_share}: give a share of the steps, at least 0 and below 1"
            )
        if not 0 <= self.seed < SEEDS:
            raise ValueError(f"training setting seed={self.seed}: give a whole number from 0 to {SEEDS - 1}")

    def curriculum_stages(self) -> tuple[int, ...]:
        """The stages of `segment_curriculum` as numbers.

        Raises:
            ValueError: they are no rising whole numbers.
        """
        parts = [part.strip() for part in self.segment_curriculum.split(",")] if self.segment_curriculum else []
        stages = tuple(int(part) if part.isdecimal() else 0 for part in parts)
        if any(low >= high for low, high in pairwise((0, *stages))):
            raise ValueError(
                f"training setting segment_curriculum={self.segment_curriculum!r}: give rising numbers of segments, "
                'such as "1,2,4,8"'
            )
        return stages

    @classmethod
    def of(cls, values: TrainingSettings | dict[str, Any] | None) -> TrainingSettings:
        """Settings from a dictionary of those that differ from the defaults.

        Raises:
            ValueError: there is no such setting, or it has another type.
        """
        if values is None:
            return cls()
        if isinstance(values, TrainingSettings):
            return values
        if not isinstance(values, Mapping):
            raise ValueError(f'training={values!r}: give a dictionary of settings, such as {{"epochs": 3}}')
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(f"no training setting {', '.join(unknown)}; there are: {', '.join(known)}")
        return cls(**python_values(values))

    def with_seed(self, seed: int | None) -> TrainingSettings:
        """The same with another seed; None leaves it."""
        return self if seed is None else replace(self, seed=seed)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, to be written beside results."""
        return asdict(self)


def drawn_seed(random_state: Any) -> int | None:
    """A seed from what scikit-learn takes for one.

    Raises:
        ValueError: something else.
    """
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31))
    if random_state is not None and (isinstance(random_state, bool) or not isinstance(random_state, int | np.integer)):
        raise ValueError(f"random_state={random_state!r}: give a whole number, a numpy.random.RandomState, or None")
    return None if random_state is None else int(random_state)
