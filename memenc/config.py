"""Configuration: the backbone's own configuration inside ours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any, ClassVar

import numpy as np
from transformers import CONFIG_MAPPING, AutoConfig, PreTrainedConfig

PAIR_LOSSES = ("contrastive", "cosine", "classification")
QUESTION_POSITIONS = ("every_segment", "last")
SLIDING_WINDOW_LAYERS = ("within_window", "full", "none")
CHOICES = {
    "sliding_window_layers": SLIDING_WINDOW_LAYERS,
    "question_position": QUESTION_POSITIONS,
    "pair_loss": PAIR_LOSSES,
}
# What may stand where there is no number.
NO_NUMBERS = (("bptt_segments", None), ("segments_per_call", "auto"), ("attention_dropout", None))
# What transformers itself adds to a configuration beside the fields of its class.
ADDED = frozenset(
    (
        *("model_type", "_name_or_path", "name_or_path", "num_labels", "output_attentions", "torch_dtype"),
        *("pad_token_id", "bos_token_id", "eos_token_id", "vocab_size", "use_cache", "tie_word_embeddings"),
        # Of the revision that was loaded: 5.14 hands it over like a field.
        "_commit_hash",
    )
)
# They name code: of a repository, of a kernel to download, of a library that makes weights anew.
NAME_CODE = ("auto_map", "attn_implementation", "experts_implementation", "trust_remote_code", "quantization_config")


class MemencConfig(PreTrainedConfig):
    """What a memenc model is made of; everything in it is plain JSON.

    Args:
        backbone: configuration of the backbone, as transformers writes it, with its `model_type`.
        attention_layers: one entry per attention call of the backbone, found by a dry run: heads, key_value_heads,
            head_dim, sliding_window, rotary.
        memory: name of the design, see `available_memories()`, or names joined by plus signs.
        memory_options: keyword arguments of the design; ``{"budget_bytes": n}`` instead of its sizes chooses them so
            that the state of one document stays within n bytes (float32, all memories together, without the document
            memory and the unfinished segment).
        memory_layers: layers that have a memory: "all", "upper_half" (the later ones), a list of layer numbers from 0,
            or "auto": all where memory is placed by position (causal attention with rotary positions), so that a window
            over the whole document is full attention, and the upper half elsewhere, where it costs half as much and
            disturbs the pre-trained encoder half as much.
        learned_start: layers' memories start from a learned segment instead of from nothing.
        bptt_segments: gradient horizon: gradient through the layers' memories, and through memory tokens, ends at every
            such number of segments, counted from where a call begins; None lets it run through the whole document. The
            document memory is one step from every segment and is never cut off.
        segment_length: tokens of one segment, special tokens included.
        segments_per_call: segments of a document in one backbone call, or "auto": the measured default.
        sliding_window_layers: what layers with local attention, such as two of three in ModernBERT, do with memory:
            "within_window" reads entries that lie within their window, "full" reads all, "none" keeps no memory in such
            layers. An entry lies where its design says: a memory's window directly before the segment, compressed slots
            and pinned entries before that, so that a layer which looks 64 tokens back never sees what stands behind a
            memory window of 64 or more. Memory tokens, and what `linear`, `associative` and `nearest` look up, lie
            nowhere and are read in any case.
        readout: name of the readout, see `memenc.readout`.
        readout_layers: layers whose token states, averaged, the readout and the memory over the top see: 0 is the input
            of the first layer, 1 its output, and so on; negative numbers count from the last. None is the last alone.
        document_queries: learned queries of the document memory.
        document_temperature: length, fixed or hard, see `DocumentMemory`.
        special_tokens: {"prefix": [...], "suffix": [...], "padding": id} round every segment; "separator": [...] behind
            a question, the suffix if left out; "own_type": token type of what stands behind it, 0 if left out.
        instruction: token ids of what stands before the own tokens of every segment, and before a question there, such
            as the name of a task; None for nothing. `from_backbone` takes it as text too.
        question_position: of question answering: "every_segment", before the document's own tokens, or "last", behind
            the document, which is then read once for all questions.
        attention_dropout: share of attention weights set to zero in training; None keeps the backbone's own, which on
            a CPU makes attention five times slower.
        classifier_dropout: share of the readout set to zero before a task's head.
        pair_loss: what MemencForTextPairs learns from pairs of documents: contrastive, cosine or classification.
        pair_temperature: of the contrastive loss; 0.05 as sentence-transformers has it.
    """

    model_type: ClassVar[str] = "memenc"
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["memory", "auxiliary_loss", "hidden_states"]

    backbone: dict[str, Any] | None = None
    attention_layers: list[dict[str, Any]] | None = None
    memory: str = "compressive"
    memory_options: dict[str, Any] | None = None
    memory_layers: str | list[int] = "auto"
    learned_start: bool = False
    bptt_segments: int | None = None
    segment_length: int = 512
    segments_per_call: int | str = "auto"
    sliding_window_layers: str = "within_window"
    readout: str = "memory"
    readout_layers: list[int] | None = None
    document_queries: int = 4
    document_temperature: str = "length"
    special_tokens: dict[str, Any] | None = None
    instruction: list[int] | None = None
    question_position: str = "every_segment"
    attention_dropout: float | None = 0.0
    classifier_dropout: float = 0.1
    pair_loss: str = "contrastive"
    pair_temperature: float = 0.05

    def __post_init__(self, **kwargs: Any) -> None:
        unknown = sorted(set(kwargs) - ADDED)
        if "attn_implementation" in unknown:
            raise ValueError("attn_implementation: memenc brings its own attention; leave it out")
        if unknown:
            raise ValueError(
                f"this memenc knows no configuration key {', '.join(unknown)}: refused, since some keys could run "
                "code. Take it out, or use the memenc that wrote it"
            )
        for field in fields(self):
            setattr(self, field.name, python_values(getattr(self, field.name)))
        super().__post_init__(**kwargs)
        self.check()

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """As transformers does, but from a configuration of memenc alone.

        Raises:
            ValueError: it is another model's.
        """
        kind = config_dict.get("model_type", cls.model_type)
        if kind != cls.model_type:
            raise ValueError(
                f"this is a plain {kind}, not a memenc model: MemencModel.from_backbone(...), or that of the class "
                "for your task, puts a memory into it"
            )
        return super().from_dict(config_dict, **kwargs)

    def check(self) -> None:
        """Refuse values that no model can be made with.

        Raises:
            ValueError: there is one.
        """
        self._check_memory()
        self._check_numbers()
        self._check_layers()
        self._check_tokens()
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}={getattr(self, name)!r}: choose one of {choices}")
        if not isinstance(self.learned_start, bool):
            raise ValueError(f"learned_start={self.learned_start!r}: give true or false")

    def _check_memory(self) -> None:
        if not isinstance(self.memory, str):
            raise ValueError(
                f"memory={self.memory!r}: give the name of a design, such as compressive; a class of your own gets one "
                "by memenc.register_memory(name, class)"
            )
        if not isinstance(self.memory_options, dict | None):
            raise ValueError(f'memory_options={self.memory_options!r}: give a dictionary, such as {{"window": 512}}')
        designs = self.memory.split("+")
        for name in designs if len(designs) > 1 else ():
            options = (self.memory_options or {}).get(name)
            if not isinstance(options, dict | None):
                raise ValueError(f"memory_options of {name}: {options!r}; give a dictionary of the design's options")

    def _check_numbers(self) -> None:
        for name, words in (
            ("segment_length", "a whole number of at least 1 token"),
            ("bptt_segments", "a whole number of at least 1, or None for no horizon"),
            ("segments_per_call", '"auto" or a whole number of at least 1'),
            ("document_queries", "a whole number of at least 1"),
        ):
            value = getattr(self, name)
            if not (type(value) is int and value >= 1) and (name, value) not in NO_NUMBERS:
                raise ValueError(f"{name}={value!r}: give {words}")
        for name, words in (("attention_dropout", ", or None for the backbone's own"), ("classifier_dropout", "")):
            value = getattr(self, name)
            if not (type(value) in (int, float) and 0 <= value < 1) and (name, value) not in NO_NUMBERS:
                raise ValueError(f"{name}={value!r}: give a share of at least 0 and below 1{words}")
        if not (type(self.pair_temperature) in (int, float) and self.pair_temperature > 0):
            raise ValueError(f"pair_temperature={self.pair_temperature!r}: give a number above 0")

    def _check_layers(self) -> None:
        chosen = self.readout_layers
        if chosen is not None and not (_whole_numbers(chosen) and chosen):
            raise ValueError(f"readout_layers={chosen!r}: give a list of layer numbers, such as [-2, -1], or None")
        layers = self.memory_layers
        if layers not in ("auto", "all", "upper_half") and not _whole_numbers(layers):
            raise ValueError(f'memory_layers={layers!r}: give "auto", "all", "upper_half" or a list of layer numbers')

    def _check_tokens(self) -> None:
        if self.instruction is not None and not (_whole_numbers(self.instruction) and self.instruction):
            raise ValueError(f"instruction={self.instruction!r}: give a list of token ids, not empty, or None")
        for name, value in (self.special_tokens or {}).items():
            if name not in ("prefix", "suffix", "padding", "separator", "own_type"):
                raise ValueError(f"special_tokens has no {name!r}; it has prefix, suffix, padding, separator, own_type")
            if not isinstance(value, int if name in ("padding", "own_type") else list | tuple):
                raise ValueError(
                    f"special_tokens: {name}={value!r}; prefix, suffix and separator are lists of ids, padding and "
                    "own_type are numbers"
                )

    def layers_with_memory(self) -> list[int]:
        """Numbers of the layers that have a memory.

        Raises:
            ValueError: a number that is no layer of the backbone.
        """
        descriptions = self.attention_layers or []
        layers = list(range(len(descriptions)))
        if isinstance(self.memory_layers, str):
            by_position = any(places_memory_by_position(description) for description in descriptions)
            everywhere = self.memory_layers == "all" or (self.memory_layers == "auto" and by_position)
            return layers if everywhere else layers[len(layers) // 2 :]
        wrong = sorted(set(self.memory_layers) - set(layers))
        if wrong:
            raise ValueError(f"memory_layers has {wrong}, but the backbone has layers 0 to {len(layers) - 1}")
        return sorted(set(self.memory_layers))

    def backbone_config(self) -> PreTrainedConfig:
        """Configuration object of the backbone.

        Raises:
            ValueError: there is none, or it has keys that are private, name code, or are unknown to transformers.
        """
        if not self.backbone or "model_type" not in self.backbone:
            raise ValueError("this MemencConfig names no backbone; make a model with MemencModel.from_backbone(...)")
        kind = self.backbone["model_type"]
        if kind not in CONFIG_MAPPING:
            raise ValueError(f"this transformers knows no backbone of the type {kind!r}; a newer one may")
        private = sorted({key for key in _keys(self.backbone) if key.startswith("_") or key in NAME_CODE})
        if private:
            raise ValueError(f"the backbone configuration has private keys {private}; refused, they could run code")
        unknown = sorted(set(self.backbone) - known_keys(CONFIG_MAPPING[kind]))
        if unknown:
            raise ValueError(
                f"this transformers knows no key {', '.join(unknown)} of a {kind} configuration: refused, since some "
                "keys could run code. Take it out, or use the transformers that wrote it"
            )
        return AutoConfig.for_model(**self.backbone)

    @property
    def hidden_size(self) -> int:
        """Numbers per token state, of the backbone."""
        return self.backbone_config().hidden_size


def places_memory_by_position(attention_layer: dict[str, Any]) -> bool:
    """Whether a layer tells memory from its own tokens by position: causal attention with rotary positions."""
    return bool(attention_layer["causal"]) and attention_layer["rotary"] is not None


def known_keys(kind: type[PreTrainedConfig]) -> set[str]:
    """Keys that a class of configurations declares, and the few that transformers adds to any."""
    return {field.name for field in fields(kind)} | set(kind.attribute_map) | {"model_type", "output_attentions"}


def _whole_numbers(value: Any) -> bool:
    """Whether a value is a list of whole numbers; True and False are none."""
    return isinstance(value, list | tuple) and all(type(each) is int for each in value)


def _keys(value: Any) -> Iterator[str]:
    """Keys of a dictionary and of all dictionaries inside it."""
    for key, inside in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(key, str):
            yield key
        if isinstance(inside, dict | list):
            yield from _keys(inside)


def plain_backbone_config(config: PreTrainedConfig) -> dict[str, Any]:
    """The public part of a backbone's configuration as plain JSON, without what its class does not know."""
    # The type of the weights is the outer model's to choose, and the attention is ours.
    dropped = {"dtype", "torch_dtype", "architectures", "transformers_version", "id2label", "label2id", "problem_type"}
    return {key: value for key, value in config.to_dict().items() if key in known_keys(type(config)) - dropped}


def python_values(value: Any) -> Any:
    """The same with Python's own numbers for those of NumPy, as a grid search passes them on and JSON takes them."""
    if isinstance(value, dict):
        return {key: python_values(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        found = [python_values(each) for each in value]
        return tuple(found) if isinstance(value, tuple) else found
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value
