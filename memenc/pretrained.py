"""What all memenc models share as transformers models: made from a backbone, initialised, checkpointed, resized."""

from __future__ import annotations

import copy
import os
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

from safetensors import SafetensorError
from torch import nn
from transformers import AutoModel, PreTrainedModel, PreTrainedTokenizerBase

from memenc.backbones.loading import load_backbone
from memenc.config import MemencConfig, plain_backbone_config, python_values
from memenc.data.tokens import instruction_tokens, special_tokens_named
from memenc.encoder.places import choose_sizes, with_learned_start
from memenc.encoder.segment_encoder import SegmentEncoder
from memenc.saved import HUB_OPTIONS, check_downloaded, find_tokenizer, is_memenc_folder, own_weights
from memenc.storage.embedding_files import write_embedding_files
from memenc.storage.files import check_if_sealed, whole_folder

# Fields of the configuration that choose no weights, or those of the head.
OF_THE_HEAD = (
    *("num_labels", "id2label", "label2id", "problem_type", "classifier_dropout"),
    *("pair_loss", "pair_temperature", "instruction", "question_position"),
)
# Fields that choose no weights at all: how a model reads and trains.
OF_READING = ("bptt_segments", "segments_per_call", "attention_dropout")
# Those of a head that say what it was trained for, beside its labels.
OF_THE_LOSS = ("problem_type", "pair_loss", "question_position")


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
        **options: Any,
    ) -> None:
        """Save as transformers does, but whole or not at all, with the SHA-256 of every file in `checksums.json`.

        The folder is one of sentence-transformers too, once its tokenizer lies in it.

        Args:
            save_directory: folder.
            is_main_process: the others write nothing.
            state_dict: weights to save instead of the model's own.
            push_to_hub: uploads the files without their checksums; `model.push_to_hub(...)` uploads both.
            options: of transformers.
        """
        saved = super().save_pretrained
        if push_to_hub or not is_main_process:
            saved(save_directory, is_main_process, state_dict, push_to_hub, **options)
            return
        with whole_folder(Path(save_directory)) as folder:
            saved(folder, is_main_process, state_dict, **options)
            write_embedding_files(folder)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str] | None, *arguments: Any, **options: Any
    ) -> Any:
        """Load as transformers does, but safetensors only, and only what fits its `checksums.json` if there is one.

        Raises:
            ValueError: a file is damaged or was changed, or weights in pickles were asked for.
        """
        if options.get("use_safetensors") is False:
            raise ValueError("use_safetensors=False: memenc never reads pickles; save the weights as safetensors")
        folder = Path(pretrained_model_name_or_path or "", options.get("subfolder", ""))
        here = pretrained_model_name_or_path is not None and folder.is_dir()
        if here:
            check_if_sealed(folder)
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
            options: fields of :class:`MemencConfig`; `instruction` may be text.

        Raises:
            ValueError: the backbone would ignore a memory, or an option does not fit.
        """
        _check_options(options)
        # A folder may be a path: what follows tells names from models.
        backbone = os.fspath(backbone) if isinstance(backbone, os.PathLike) else backbone
        if tokenizer is None and isinstance(backbone, str):
            tokenizer = find_tokenizer(backbone)
        if isinstance(options.get("instruction"), str):
            options["instruction"] = instruction_tokens(options["instruction"], tokenizer)
        if isinstance(backbone, str) and is_memenc_folder(backbone):
            loading = backbone_options or {}
            others = sorted(set(loading) - {"dtype", "torch_dtype", "device_map", *HUB_OPTIONS})
            if others:
                raise ValueError(
                    f"backbone_options {', '.join(others)}: {backbone} is a memenc model, whose backbone is made as it "
                    "was saved; leave them out"
                )
            return cls._from_memenc(backbone, memory, memory_options, options, loading)
        loaded = load_backbone(backbone, **(backbone_options or {}))
        if tokenizer is not None and "special_tokens" not in options:
            types = loaded.config.to_dict().get("type_vocab_size") or 1
            options["special_tokens"] = special_tokens_named(tokenizer, types)
        config = MemencConfig(
            backbone=plain_backbone_config(loaded.config), memory=memory, memory_options=memory_options, **options
        )
        return beside(cls(config, backbone=loaded).eval(), loaded)

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
        head = _may_change(saved, options)
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
        if not cls.has_head or cls._does_the_same(saved, head):
            return cls.from_pretrained(folder, **head, **loading)
        inside = AutoModel.from_pretrained(folder, **head, **loading)
        model: Any = cls(inside.config, inside.backbone)
        model.memenc = inside
        return model.to(inside.device, inside.dtype)

    @classmethod
    def _does_the_same(cls, saved: MemencConfig, head: dict[str, Any]) -> bool:
        """Whether a saved head is one for this task and these labels."""
        asked = {name: head[name] for name in ("num_labels", "id2label", *OF_THE_LOSS) if name in head}
        if isinstance(asked.get("id2label"), dict):
            asked["id2label"] = {int(number): name for number, name in asked["id2label"].items()}
        known = saved.architectures is None or bool(set(saved.architectures) & {kind.__name__ for kind in cls.__mro__})
        return known and all(getattr(saved, name) == value for name, value in asked.items())


def put_start_before_memory(model: Any) -> None:
    """Let the memories of a loaded model's layers start with something learned; what they have learned stays."""
    # Not while it is loaded: names that transformers changes then it changes back in what is saved.
    encoder: SegmentEncoder = model.base_model.encoder
    memories = [with_learned_start(memory) for memory in encoder.layer_memories]
    encoder.memories = nn.ModuleList(memories).to(model.device, model.dtype)
    model.config.learned_start = True


def _check_options(options: dict[str, Any]) -> None:
    # A configuration takes any name, so that a slip of the pen would change nothing and say nothing.
    known = {field.name for field in fields(MemencConfig)} | {"num_labels"}
    unknown = sorted(set(options) - known)
    if unknown:
        raise ValueError(f"from_backbone has no option {', '.join(unknown)}; MemencConfig lists what there is")


def _may_change(saved: MemencConfig, options: dict[str, Any]) -> dict[str, Any]:
    """Those of the options on which no weights depend, or only the head's.

    Raises:
        ValueError: a value that no model can be made with.
    """
    asked, tried = python_values(options), copy.deepcopy(saved)
    # A configuration that is loaded from a file takes any value behind its own checks.
    for name, value in asked.items():
        setattr(tried, name, value)
    tried.check()
    return {name: value for name, value in asked.items() if name in (*OF_THE_HEAD, *OF_READING)}


def beside(model: Any, backbone: PreTrainedModel) -> Any:
    """The model on the device of its backbone, which may be on a GPU already; one that is spread over several stays."""
    spread = len(set(getattr(backbone, "hf_device_map", {}).values())) > 1
    return model if spread else model.to(backbone.device)


def leave_weights_alone(module: nn.Module) -> None:
    """Keep initialisation away from a loaded module."""
    # post_init initialises every module that does not say it was; it would undo the loaded weights.
    for part in module.modules():
        setattr(part, "_is_hf_initialized", True)  # noqa: B010 - nn.Module types its attributes as tensors
