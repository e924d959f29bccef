"""What all memenc models share as transformers models: made from a backbone, initialised, checkpointed, resized."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

from safetensors import SafetensorError
from torch import nn
from transformers import AutoModel, PreTrainedModel, PreTrainedTokenizerBase

from memenc.backbones.loading import load_backbone
from memenc.config import MemencConfig, plain_backbone_config
from memenc.data.tokens import instruction_tokens, special_tokens_named, tokenizer_to_save
from memenc.encoder.places import choose_sizes
from memenc.encoder.segment_encoder import SegmentEncoder
from memenc.saved import check_downloaded, find_tokenizer, is_memenc_folder, own_weights, require_model
from memenc.starting import (
    check_loading,
    check_options,
    checked_backbone,
    chosen_type,
    does_the_same,
    may_change,
    put_start_before_memory,
    with_weights_of,
)
from memenc.storage.embedding_files import write_embedding_files
from memenc.storage.files import check_if_sealed, whole_folder


@runtime_checkable
class StartsAnew(Protocol):
    """A module that knows how its own parameters start, as those of torch do."""

    def reset_parameters(self) -> None:
        """Give all of them their first values."""


class MemencPreTrainedModel(PreTrainedModel):
    """What all memenc models share: configuration, initialisation, activation checkpointing by group of segments."""

    config_class = MemencConfig
    base_model_prefix = "memenc"
    supports_gradient_checkpointing = True
    # Whether there is something on top that was trained for one task.
    has_head: ClassVar[bool] = True
    # The library's own loss handling would divide by the number of items across accumulation steps a second time.
    accepts_loss_kwargs = False

    def __init__(self, config: MemencConfig, *arguments: Any, **options: Any) -> None:
        if not isinstance(config, MemencConfig):
            raise ValueError(
                f"{type(self).__name__}(config) needs a MemencConfig, received {config!r}; "
                f"{type(self).__name__}.from_backbone(...) puts a memory into an encoder, from_pretrained(...) loads"
            )
        super().__init__(config, *arguments, **options)

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, StartsAnew):
            module.reset_parameters()

    def _set_gradient_checkpointing(
        self, enable: bool = True, gradient_checkpointing_func: Any = None, **kwargs: Any
    ) -> None:
        # The layers inside the backbone are left alone: a layer computed a second time would write its memory twice.
        if getattr(gradient_checkpointing_func, "keywords", {}).get("use_reentrant"):
            raise ValueError("use_reentrant=True silently cuts the gradient through memory; leave it out or set False")
        for module in self.modules():
            if isinstance(module, SegmentEncoder):
                module.checkpointing = enable

    @property
    def is_gradient_checkpointing(self) -> bool:
        """Whether activations are computed again in the backward pass, one group of segments at a time."""
        return any(isinstance(module, SegmentEncoder) and module.checkpointing for module in self.modules())

    @property
    def is_activation_checkpointing(self) -> bool:
        """The name transformers 5.23 has for it."""
        return self.is_gradient_checkpointing

    def _refuse(self, arguments: dict[str, Any]) -> None:
        """Refuse arguments that nobody knows, unless they are None, so that nothing is ignored in silence."""
        refused = sorted(name for name, value in arguments.items() if value is not None)
        if refused:
            raise ValueError(f"{type(self).__name__} takes no {', '.join(refused)}")

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> nn.Module:
        """Resize the backbone's embeddings, and say so in the configuration that is saved."""
        embeddings = super().resize_token_embeddings(*args, **kwargs)
        self.config.backbone = {**(self.config.backbone or {}), "vocab_size": embeddings.weight.shape[0]}
        return embeddings

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        is_main_process: bool = True,
        state_dict: dict[str, Any] | None = None,
        push_to_hub: bool = False,
        tokenizer: PreTrainedTokenizerBase | None = None,
        **options: Any,
    ) -> None:
        """Save as transformers does, but whole or not at all, with the SHA-256 of every file in `checksums.json`.

        With its tokenizer the folder is one of sentence-transformers and AutoTokenizer too.

        Args:
            save_directory: folder.
            is_main_process: the others write nothing.
            state_dict: weights to save instead of the model's own.
            push_to_hub: uploads the files without their checksums; `model.push_to_hub(...)` uploads both.
            tokenizer: of the backbone, to lie beside the model.
            options: of transformers.

        Raises:
            ValueError: a tokenizer that is to be uploaded, too.
        """
        saved = super().save_pretrained
        if push_to_hub and tokenizer is not None:
            raise ValueError("push_to_hub=True uploads the model alone; use tokenizer.push_to_hub for the tokenizer")
        if push_to_hub or not is_main_process:
            saved(save_directory, is_main_process, state_dict, push_to_hub, **options)
            return
        with whole_folder(Path(save_directory)) as folder:
            saved(folder, is_main_process, state_dict, **options)
            write_embedding_files(folder)
            if tokenizer is not None:
                tokenizer_to_save(tokenizer).save_pretrained(folder)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str] | None, *arguments: Any, **options: Any
    ) -> Any:
        """Load as transformers does, but safetensors only, and only what fits its `checksums.json` if there is one.

        Raises:
            ValueError: a file is damaged or was changed, weights in pickles were asked for, or it is no memenc model.
        """
        if options.get("use_safetensors") is False:
            raise ValueError("use_safetensors=False: memenc never reads pickles; save the weights as safetensors")
        folder = Path(pretrained_model_name_or_path or "", options.get("subfolder", ""))
        here = pretrained_model_name_or_path is not None and folder.is_dir()
        if here:
            check_if_sealed(folder)
        elif pretrained_model_name_or_path is not None:
            require_model(pretrained_model_name_or_path, options)
        options["use_safetensors"] = True
        try:
            loaded = super().from_pretrained(pretrained_model_name_or_path, *arguments, **options)
        except SafetensorError as error:
            raise ValueError(
                f"the weights of {pretrained_model_name_or_path} are damaged or foreign: {error}"
            ) from error
        own_weights(loaded[0] if isinstance(loaded, tuple) else loaded)
        if pretrained_model_name_or_path is not None and not here:
            check_downloaded(str(pretrained_model_name_or_path), options)
        return loaded

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
        """Put a memory into a pre-trained encoder.

        Args:
            backbone: name or path for transformers, or a model (which is taken over, not copied); or a folder of a
                memenc model, pre-trained say, whose memory must be the one that is asked for; without options as it is.
            memory: name of the design, see `available_memories()`.
            memory_options: keyword arguments of the design.
            tokenizer: names the special tokens of every segment; without it a name or path is asked for its tokenizer,
                and a model gets no special tokens.
            backbone_options: keyword arguments for loading the backbone, such as `dtype`.
            options: fields of :class:`MemencConfig`; `instruction` may be text, and `dtype`, of torch or its name, is
                the type of all weights, those of the backbone and those of the memory.

        Raises:
            ValueError: the backbone would ignore a memory, or an option does not fit.
        """
        check_options(options)
        loading, dtype = dict(backbone_options or {}), chosen_type(options.pop("dtype", None))
        backbone = checked_backbone(backbone, loading)
        loading |= {} if dtype is None else {"dtype": dtype}
        if tokenizer is None and isinstance(backbone, str):
            tokenizer = find_tokenizer(backbone)
        if isinstance(options.get("instruction"), str):
            options["instruction"] = instruction_tokens(options["instruction"], tokenizer)
        if isinstance(backbone, str) and is_memenc_folder(backbone):
            check_loading(backbone, loading)
            return cls._from_memenc(backbone, memory, memory_options, options, loading)
        loaded = load_backbone(backbone, **loading)
        if tokenizer is not None and "special_tokens" not in options:
            types = loaded.config.to_dict().get("type_vocab_size") or 1
            options["special_tokens"] = special_tokens_named(tokenizer, types)
        config = MemencConfig(
            backbone=plain_backbone_config(loaded.config), memory=memory, memory_options=memory_options, **options
        )
        return beside(with_weights_of(cls(config, backbone=loaded).eval(), dtype), loaded)

    @classmethod
    def _from_memenc(
        cls,
        folder: str,
        memory: str,
        memory_options: dict[str, Any] | None,
        options: dict[str, Any],
        loading: dict[str, Any],
    ) -> Self:
        """Go on from a memenc model; what its weights were made with cannot change.

        Its head comes along if it does the same: another task, or other labels, begin with a new one.
        """
        saved = MemencConfig.from_pretrained(folder)
        asked: dict[str, Any] = {"memory": memory}
        if memory_options is not None and memory == saved.memory:
            # Options are saved as sizes: a budget is asked for in the same way.
            sized = copy.deepcopy(saved)
            sized.memory_options = memory_options
            choose_sizes(sized, saved.backbone_config().hidden_size)
            asked["memory_options"] = sized.memory_options
        head = may_change(saved, options)
        starts = bool(options.get("learned_start")) and not saved.learned_start
        if starts:
            options.pop("learned_start")
        asked |= {name: value for name, value in options.items() if name not in head and name != "special_tokens"}
        other = [
            f"{name}={getattr(saved, name)!r} (asked for: {value!r})"
            for name, value in asked.items()
            if getattr(saved, name) != value
        ]
        if other:
            raise ValueError(
                f"{folder} was trained with {', '.join(other)}; ask for the same, or start from a backbone"
            )
        model = cls._with_its_head(folder, saved, head, loading)
        if starts:
            put_start_before_memory(model)
        return model.eval()

    @classmethod
    def _with_its_head(cls, folder: str, saved: MemencConfig, head: dict[str, Any], loading: dict[str, Any]) -> Any:
        """The saved model with the saved head, or a new one if that was for something else."""
        if not cls.has_head or does_the_same(cls, saved, head):
            return cls.from_pretrained(folder, **head, **loading)
        inside = AutoModel.from_pretrained(folder, **head, **loading)
        model: Any = cls(inside.config, inside.backbone)
        model.memenc = inside
        return with_weights_of(model, inside.dtype).to(inside.device)


def beside(model: Any, backbone: PreTrainedModel) -> Any:
    """The model on the device of its backbone, which may be on a GPU already; one that is spread over several stays."""
    spread = len(set(getattr(backbone, "hf_device_map", {}).values())) > 1
    return model if spread else model.to(backbone.device)


def leave_weights_alone(module: nn.Module) -> None:
    """Keep initialisation away from a loaded module."""
    # post_init initialises every module that does not say it was; it would undo the loaded weights.
    for part in module.modules():
        setattr(part, "_is_hf_initialized", True)  # noqa: B010 - nn.Module types its attributes as tensors
