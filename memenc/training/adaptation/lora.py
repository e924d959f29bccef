"""LoRA by PEFT: low-rank additions beside the backbone's linear layers, merged into them when training ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from transformers import PreTrainedModel

from memenc.training.settings import TrainingSettings

# The additions count twice, as in the paper's experiments on RoBERTa (rank 8, alpha 16), whatever the rank.
ALPHA_PER_RANK = 2


@contextmanager
def lora(model: PreTrainedModel, settings: TrainingSettings) -> Iterator[None]:
    """Train low-rank additions to all linear layers of the backbone; memory, readout and head.

    All linear layers, as in Dettmers et al. 2023 (arXiv:2305.14314): their names need not be known, so it works for
    every backbone. The trained additions are merged, so what is saved is a plain model that anything can load. For an
    adapter as a file of its own, use `peft.get_peft_model` and transformers' Trainer.

    Source: Hu et al. 2021, LoRA (arXiv:2106.09685).

    Args:
        model: with a backbone.
        settings: with the rank of each addition.

    Raises:
        ValueError: PEFT is not installed.
    """
    try:
        from peft import LoraConfig, LoraModel
    except ImportError:
        raise ValueError("adapt='lora' needs PEFT: pip install 'memenc[peft]'") from None
    rank = settings.lora_rank
    # Around the backbone alone: PEFT makes constant whatever it was given.
    tuner = LoraModel(
        model.base_model.encoder.backbone,  # pyright: ignore[reportArgumentType,reportAttributeAccessIssue]
        LoraConfig(r=rank, lora_alpha=ALPHA_PER_RANK * rank, target_modules="all-linear"),
        "default",
    )
    try:
        yield
    finally:
        tuner.merge_and_unload()
