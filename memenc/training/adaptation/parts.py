"""Which part of a model a parameter belongs to, by its name."""

from __future__ import annotations

from collections.abc import Callable

from transformers import PreTrainedModel


def in_backbone(name: str) -> bool:
    """It came with the pre-trained encoder, or was put into it."""
    return "encoder.backbone." in name


def in_head(model: PreTrainedModel, name: str) -> bool:
    """It stands behind the readout; a model without a head has none of these."""
    return model.base_model is not model and not name.startswith(f"{model.base_model_prefix}.")


def train_only(model: PreTrainedModel, chosen: Callable[[str], bool]) -> list[str]:
    """Make every parameter constant whose name is not chosen; names of those still trained."""
    for name, parameter in model.named_parameters():
        if not chosen(name):
            parameter.requires_grad_(False)
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]
