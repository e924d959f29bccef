"""The encoder as transformers knows it: documents in, token states, context representation and memory out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from memenc.backbone import backbone_from_config, find_attention_layers, maximum_segment_length
from memenc.config import MemencConfig
from memenc.data.batches import parts_of
from memenc.encoded import Keep
from memenc.encoder import SegmentEncoder, part_of
from memenc.lead import Question
from memenc.output import MemencOutput
from memenc.places import choose_sizes
from memenc.pretrained import MemencPreTrainedModel, leave_weights_alone
from memenc.readout import FinalMemory, build_readout
from memenc.schedule import resolve_segments_per_call
from memenc.segments import cut_into_segments
from memenc.state import MemoryState, fingerprint_of
from memenc.texts import read_texts

# Of English and its kin; it only decides which texts are read together.
CHARACTERS_PER_TOKEN = 4


class MemencModel(MemencPreTrainedModel):
    """Documents of any length through a pre-trained encoder with memory.

    Args:
        config: of the model.
        backbone: a loaded backbone with memenc attention; made from the configuration, with random weights, if None.
    """

    # A head that lies in the same file is not missed.
    _keys_to_ignore_on_load_unexpected: ClassVar[list[str]] = [r"^(classifier|language_model|answers|reading|score)\."]

    def __init__(self, config: MemencConfig, backbone: PreTrainedModel | None = None) -> None:
        super().__init__(config)
        if backbone is None:
            backbone = backbone_from_config(config.backbone_config())
        else:
            leave_weights_alone(backbone)
        backbone.config.use_cache = False
        if config.attention_layers is None:
            config.attention_layers = find_attention_layers(backbone)
        _check_segment_length(config, backbone)
        _check_readout_layers(config)
        choose_sizes(config, backbone.config.hidden_size)
        self.encoder = SegmentEncoder(config, backbone)
        hidden = backbone.config.hidden_size
        self.readout = build_readout(config.readout, hidden, config.document_queries)
        # What the readout never looks at cannot learn, and untouched gradients trouble distributed training.
        self.encoder.top_memory.requires_grad_(self.readout.reads_top)
        self.encoder.document_memory.requires_grad_(self.readout.reads_attention)
        self.post_init()

    @property
    def backbone(self) -> PreTrainedModel:
        """The encoder inside."""
        return self.encoder.backbone

    def get_input_embeddings(self) -> nn.Module:
        """Token embeddings of the backbone."""
        return self.encoder.backbone.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token embeddings of the backbone."""
        self.encoder.backbone.set_input_embeddings(value)

    @property
    def own_tokens_per_segment(self) -> int:
        """Tokens of a segment that are the document's own."""
        return self.encoder.capacity

    @property
    def fingerprint(self) -> str:
        """What a state must have been written with to be read on with this model."""
        names = ("backbone", "memory", "memory_options", "memory_layers", "segment_length", "special_tokens")
        more = ("learned_start", "document_queries", "document_temperature", "sliding_window_layers", "readout_layers")
        values = {name: getattr(self.config, name) for name in names + more}
        # What is not set counts for nothing, so that states outlive fields that later versions add.
        return fingerprint_of({name: value for name, value in values.items() if value is not None})

    def initial_memory(self, batch: int) -> MemoryState:
        """State of `batch` documents of which nothing was read yet."""
        return MemoryState(self.encoder.initial_state(batch), self.fingerprint)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        memory: MemoryState | None = None,
        token_type_ids: Tensor | None = None,
        question_ids: Tensor | None = None,
        question_mask: Tensor | None = None,
        output_token_states: bool = True,
        output_segment_states: bool = False,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> MemencOutput | tuple:
        """Read documents, or read on.

        Args:
            input_ids: (batch, tokens) own tokens of the documents; special tokens at their ends are recognised.
            attention_mask: (batch, tokens), 0 at padding, which may stand anywhere; None if there is none.
            memory: state of the same documents, to go on from; None starts afresh.
            token_type_ids: as tokenizers give them; must be zeros.
            question_ids: (batch, question tokens) without special tokens, one question or instruction per document, to
                stand in every segment before the document's own tokens; None if nothing is asked.
            question_mask: (batch, question tokens), 0 at padding.
            output_token_states: False leaves `last_hidden_state` out, so that memory does not grow with the document.
            output_segment_states: True gives `segment_states`, one vector per segment.
            output_hidden_states: token states of every layer too; None asks the configuration.
            return_dict: False gives a tuple.

        Raises:
            ValueError: inputs that do not fit each other, a state of another model, a question longer than a segment.
        """
        mask = self._checked_mask(input_ids, attention_mask, token_type_ids)
        input_ids = input_ids.long()
        state = self._checked_state(memory, len(input_ids))
        special, length = self.encoder.special, self.config.segment_length
        pending = self.encoder.pending(state)
        question = None if question_ids is None else Question.of(question_ids, question_mask)
        segments = cut_into_segments(input_ids, mask, special, length, pending, question)
        per_call = resolve_segments_per_call(self.config.segments_per_call, input_ids.device, len(input_ids), length)
        keep_layers = bool(self.config.output_hidden_states if output_hidden_states is None else output_hidden_states)
        keep = Keep(output_token_states, output_segment_states, keep_layers)
        encoded = self.encoder(segments, state, per_call, keep)
        layers = tuple(_token_states(layer, segments.row_index) for layer in encoded.layers)
        token_states, vector = _token_states(encoded.token_states, segments.row_index), self.read_out(encoded.state)
        if encoded.tie is not None:
            vector = vector + encoded.tie.to(vector.dtype)
            token_states = None if token_states is None else token_states + encoded.tie.to(token_states.dtype)
        output = MemencOutput(
            last_hidden_state=token_states,
            pooler_output=vector,
            memory=MemoryState(encoded.state, self.fingerprint),
            segment_states=encoded.segment_states,
            auxiliary_loss=None if encoded.loss is None else encoded.loss.mean(),
            hidden_states=cast(tuple[Tensor, ...], layers) if keep_layers else None,
        )
        return output if return_dict is not False else output.to_tuple()

    def read_out(self, state: dict[str, Tensor] | MemoryState) -> Tensor:
        """The context representation (batch, hidden), a function of the state alone."""
        final = self.final_memory(state)
        return self.readout(final, self.encoder.document_memory, self.encoder.top_memory).to(self.dtype)

    def final_memory(self, state: dict[str, Tensor] | MemoryState) -> FinalMemory:
        """What a readout may use of a state, the unfinished segment taken in."""
        tensors = state.tensors if isinstance(state, MemoryState) else state
        return FinalMemory(self.encoder.final_document(tensors), part_of(tensors, "top"), part_of(tensors, "current"))

    def read_beside(
        self, memory: MemoryState, input_ids: Tensor, attention_mask: Tensor, question: Question | None = None
    ) -> Tensor:
        """States (rows, tokens, hidden) of texts that read documents' memories and leave them as they are.

        The texts have segments of their own: what a document's last, unfinished segment holds is not read again, it is
        in the final memory only.

        Args:
            memory: of one document per text.
            input_ids: (rows, tokens) own tokens of the texts.
            attention_mask: (rows, tokens), 0 at padding.
            question: what stands before the text in every segment.

        Raises:
            ValueError: a state of another model, or of another number of documents.
        """
        mask = self._checked_mask(input_ids, attention_mask, None)
        state = self._checked_state(memory, len(input_ids))
        length, nothing = self.config.segment_length, self.encoder.pending(self.encoder.initial_state(len(input_ids)))
        segments = cut_into_segments(input_ids.long(), mask, self.encoder.special, length, nothing, question)
        per_call = resolve_segments_per_call(self.config.segments_per_call, input_ids.device, len(input_ids), length)
        rows = self.encoder(segments, state, per_call).token_states
        return cast(Tensor, _token_states(rows, segments.row_index))

    @torch.no_grad()
    def encode(
        self,
        texts: str | Sequence[str] | Iterable[str],
        tokenizer: PreTrainedTokenizerBase,
        documents_per_call: int = 64,
        tokens_per_call: int = 32_768,
    ) -> Tensor:
        """Context representations of texts of any length, (texts, hidden), tokenised in a stream.

        Args:
            texts: one text (gives one row), a list of texts, or any other iterable: pieces of ONE text, read in a
                stream (a file, say) and never held as a whole.
            tokenizer: of the backbone.
            documents_per_call: texts read side by side, at most.
            tokens_per_call: tokens read at once, padding included; bounds the memory.
        """
        was_training = self.training
        self.eval()
        try:
            if not isinstance(texts, list | tuple):
                return read_texts(self, [texts], tokenizer, tokens_per_call)
            vectors = torch.zeros(len(texts), self.config.hidden_size, device=self.device, dtype=self.dtype)
            # Texts of similar length together, so that little is padding; their characters tell it before their tokens.
            lengths = [len(text) // CHARACTERS_PER_TOKEN for text in texts]
            for places in parts_of(lengths, tokens_per_call, self.own_tokens_per_segment, documents_per_call):
                batch = [texts[place] for place in places]
                vectors[places] = read_texts(self, batch, tokenizer, tokens_per_call)
            return vectors
        finally:
            self.train(was_training)

    def _checked_mask(self, input_ids: Tensor, attention_mask: Tensor | None, token_type_ids: Tensor | None) -> Tensor:
        if input_ids.dim() != 2 or input_ids.is_floating_point():
            raise ValueError(
                f"input_ids must be whole numbers of shape (batch, tokens), received {input_ids.dtype} "
                f"{tuple(input_ids.shape)}"
            )
        if len(input_ids) == 0:
            raise ValueError("received a batch of no documents")
        if token_type_ids is not None and bool(token_type_ids.any()):
            raise ValueError("token_type_ids other than 0 received: memenc reads documents, not pairs of texts")
        if attention_mask is None:
            return torch.ones_like(input_ids, dtype=torch.bool)
        if attention_mask.shape != input_ids.shape:
            raise ValueError(
                f"attention_mask {tuple(attention_mask.shape)} does not fit input_ids {tuple(input_ids.shape)}"
            )
        return attention_mask.bool()

    def _checked_state(self, memory: MemoryState | None, batch: int) -> dict[str, Tensor]:
        if memory is None:
            return self.encoder.initial_state(batch)
        if memory.fingerprint != self.fingerprint:
            raise ValueError(
                f"this memory was written by another model or configuration ({memory.fingerprint}, this model is "
                f"{self.fingerprint}); read the documents again with this model"
            )
        if len(memory) != batch:
            raise ValueError(f"memory holds {len(memory)} documents, input_ids {batch}; use memory.select(...)")
        return memory.to(self.device).tensors


def _token_states(rows: Tensor | None, row_index: Tensor) -> Tensor | None:
    """States of the input's tokens, (batch, tokens, hidden), from rows (batch, segments, tokens, hidden)."""
    if rows is None:
        return None
    flat = rows.flatten(1, 2)
    found = flat.gather(1, row_index.clamp(min=0)[..., None].expand(-1, -1, flat.shape[-1]))
    return torch.where((row_index >= 0)[..., None], found, 0.0)


def _check_segment_length(config: MemencConfig, backbone: PreTrainedModel) -> None:
    limit = maximum_segment_length(backbone.config)
    if limit is not None and config.segment_length > limit:
        raise ValueError(f"segment_length={config.segment_length}, but the backbone has positions for {limit} tokens")
    named = config.special_tokens or {}
    special = len(named.get("prefix", ())) + len(named.get("suffix", ()))
    if config.segment_length <= special:
        raise ValueError(f"segment_length={config.segment_length} leaves no room beside {special} special tokens")


def _check_readout_layers(config: MemencConfig) -> None:
    count = len(config.attention_layers or [])
    wrong = [layer for layer in config.readout_layers or () if not -count - 1 <= layer <= count]
    if wrong:
        raise ValueError(f"readout_layers has {wrong}, but the backbone has states 0 to {count}, or -1 from the last")
