"""Masked-language-model training through memory, with the backbone's own head for it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Self, cast

from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModelForMaskedLM, PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_outputs import BaseModelOutputWithPoolingAndCrossAttentions, MaskedLMOutput

from memenc.config import MemencConfig
from memenc.model import MemencModel
from memenc.pretrained import MemencPreTrainedModel, beside, leave_weights_alone
from memenc.saved import find_tokenizer, is_memenc_folder
from memenc.starting import checked_backbone, chosen_type, with_weights_of

IGNORED = -100


@dataclass
class MemencMaskedLMOutput(MaskedLMOutput):
    """Output of :class:`MemencForMaskedLM`.

    Args:
        auxiliary_loss: scalar, the design's own, if it has one; it is part of the loss.
    """

    auxiliary_loss: Tensor | None = None


class GivenStates(nn.Module):
    """Stands where the encoder of a masked language model was: its output is what it is given."""

    def forward(self, *args: Any, inputs_embeds: Tensor, **kwargs: Any) -> BaseModelOutputWithPoolingAndCrossAttentions:
        """Token states (batch, tokens, hidden) as they are."""
        return BaseModelOutputWithPoolingAndCrossAttentions(last_hidden_state=inputs_embeds)  # pyright: ignore[reportArgumentType]


class MemencForMaskedLM(MemencPreTrainedModel):
    """Predict masked tokens of documents of any length, so that memory learns from documents without labels.

    The head is that of the backbone's masked language model, tied to its embeddings as there; no modelling code is
    copied: the model stays around its head and gets our token states for its encoder's.

    Source: Devlin et al. 2019, BERT (arXiv:1810.04805).

    Args:
        config: of the model.
        backbone: a loaded masked language model with memenc attention; made from the configuration if None.
    """

    # Weights of the head that the backbone did not bring along, as it is an encoder without one.
    made_up: frozenset[str] = frozenset()

    def __init__(self, config: MemencConfig, backbone: PreTrainedModel | None = None) -> None:
        super().__init__(config)
        inside = None if backbone is None else backbone.base_model
        self.memenc = MemencModel(config, inside)  # pyright: ignore[reportArgumentType]
        head: Any = language_model_of(config) if backbone is None else backbone
        self._tied_weights_keys = tied_names(head)
        setattr(head, head.base_model_prefix, GivenStates())
        head.all_tied_weights_keys = {}
        head._tied_weights_keys = None
        if backbone is not None:
            leave_weights_alone(head)
        self.language_model = head
        self.post_init()

    @classmethod
    def from_backbone(
        cls,
        backbone: str | os.PathLike[str] | PreTrainedModel,
        memory: str = "compressive",
        memory_options: dict[str, Any] | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
        backbone_options: dict[str, Any] | None = None,
        **options: Any,
    ) -> Self:
        """As for every model; a backbone given as a model must be one for masked language modelling.

        Raises:
            ValueError: transformers has no masked language model of this kind, as for decoders, or the model is an
                encoder without its head, or a memenc model for something else.
        """
        loading, dtype = dict(backbone_options or {}), chosen_type(options.get("dtype"))
        backbone = checked_backbone(backbone, loading)
        loading |= {} if dtype is None else {"dtype": dtype}
        made_up = frozenset[str]()
        if isinstance(backbone, str) and is_memenc_folder(backbone):
            saved = MemencConfig.from_pretrained(backbone).architectures
            if not set(saved or ()) & {kind.__name__ for kind in cls.__mro__}:
                raise ValueError(
                    f"{backbone} holds {' '.join(saved or ['a model'])}, which has no head for masked tokens; give a "
                    "folder of memenc pretrain, or a plain backbone"
                )
            return super().from_backbone(backbone, memory, memory_options, tokenizer, backbone_options, **options)
        if isinstance(backbone, str):
            tokenizer = tokenizer or find_tokenizer(backbone)
            try:
                # Neither code of a repository nor weights in a pickle are read unless somebody asks for them by name.
                safe = {"use_safetensors": True, "trust_remote_code": False}
                loaded: Any = AutoModelForMaskedLM.from_pretrained(backbone, output_loading_info=True, **safe | loading)
                backbone, report = loaded
                made_up = frozenset(f"language_model.{name}" for name in report["missing_keys"])
            except ValueError as error:
                raise ValueError(f"{backbone} has no masked language model: {error}") from error
        whole: Any = backbone
        if whole.base_model is whole:
            raise ValueError(
                f"{type(backbone).__name__} is an encoder without a head for masked tokens; give its folder, "
                "or a model of AutoModelForMaskedLM"
            )
        # The tokenizer and the checks of a plain model; the head around the encoder stays with us.
        plain = MemencModel.from_backbone(whole, memory, memory_options, tokenizer, **options)
        model: Any = cls(cast(MemencConfig, plain.config), whole).eval()
        model.made_up = made_up
        return beside(with_weights_of(model, dtype), whole)

    def get_expanded_tied_weights_keys(self, all_submodels: bool = False) -> dict[str, str]:
        """Which parameters are one: those of the backbone's language model, by their names in here."""
        return dict(self._tied_weights_keys or {})

    def get_input_embeddings(self) -> nn.Module:
        """Token embeddings of the backbone."""
        return self.memenc.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module:
        """Weights from token states to the vocabulary."""
        return cast(nn.Module, self.language_model.get_output_embeddings())

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> MemencMaskedLMOutput | tuple:
        """Predict tokens.

        Args:
            input_ids: (batch, tokens), some of them masked.
            attention_mask: (batch, tokens).
            labels: (batch, tokens) true ids where a token is to be predicted, -100 elsewhere.
            token_type_ids: as tokenizers give them; must be zeros.
            output_hidden_states: token states of every layer too; None asks the configuration.
            return_dict: False gives a tuple.

        Returns:
            Logits of all tokens (batch, tokens, vocabulary); with labels only of those to be predicted (predicted,
            vocabulary), because those of a whole document would not fit the memory.
        """
        read = self.memenc(
            input_ids, attention_mask, token_type_ids=token_type_ids, output_hidden_states=output_hidden_states
        )
        states, loss = read.last_hidden_state, None
        if labels is not None:
            chosen = labels != IGNORED
            states = states[chosen][None]
        logits = self.language_model(inputs_embeds=states).logits
        if labels is not None:
            logits = logits[0]
            # A batch in which nothing was masked has a loss of zero, and not the mean of nothing.
            total = functional.cross_entropy(logits.float(), labels[chosen], reduction="sum")
            loss = total / chosen.sum().clamp(min=1)
            loss = loss if read.auxiliary_loss is None else loss + read.auxiliary_loss
        output = MemencMaskedLMOutput(
            loss=loss, logits=logits, hidden_states=read.hidden_states, auxiliary_loss=read.auxiliary_loss
        )
        return output if return_dict is not False else output.to_tuple()


def language_model_of(config: MemencConfig) -> PreTrainedModel:
    """The backbone's masked language model, with random weights.

    Raises:
        ValueError: there is none.
    """
    own = config.backbone_config()
    if type(own) not in AutoModelForMaskedLM._model_mapping:
        raise ValueError(f"transformers has no masked language model for the backbone type {own.model_type!r}")
    return AutoModelForMaskedLM.from_config(own)


def tied_names(head: PreTrainedModel) -> dict[str, str]:
    """What the language model ties, by the names in `MemencForMaskedLM`."""
    inside = f"{head.base_model_prefix}."

    def ours(name: str) -> str:
        within = name.removeprefix(inside)
        return f"language_model.{name}" if within == name else f"memenc.encoder.backbone.{within}"

    return {ours(target): ours(source) for target, source in head.get_expanded_tied_weights_keys().items()}
