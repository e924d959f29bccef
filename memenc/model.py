"""The encoder as transformers knows it: documents in, token states, context representation and memory out."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Sequence
from typing import ClassVar, Protocol, cast

from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from memenc.backbones.loading import backbone_from_config, find_attention_layers
from memenc.checks import check_readout_layers, check_segment_length, checked_mask, known_tokens
from memenc.config import MemencConfig
from memenc.encoder.encoded import Keep, token_states_at
from memenc.encoder.places import choose_sizes, try_designs
from memenc.encoder.schedule import resolve_segments_per_call
from memenc.encoder.segment_encoder import SegmentEncoder
from memenc.lead import Question
from memenc.lockstep import plus, refuse_replica, zero_of
from memenc.output import MemencOutput
from memenc.pretrained import MemencPreTrainedModel, leave_weights_alone
from memenc.readout import FinalMemory, build_readout
from memenc.segments import Segments, cut_into_segments
from memenc.state import MemoryState, fingerprint_of, part_of
from memenc.texts import encode_texts


class MemencModel(MemencPreTrainedModel):
    """Documents of any length through a pre-trained encoder with memory.

    Args:
        config: of the model.
        backbone: a loaded backbone with memenc attention; made from the configuration, with random weights, if None.
    """

    has_head: ClassVar[bool] = False
    # A head that lies in the same file is not missed.
    _keys_to_ignore_on_load_unexpected: ClassVar[list[str]] = [r"^(classifier|language_model|answers|reading|score)\."]

    def __init__(self, config: MemencConfig, backbone: PreTrainedModel | None = None) -> None:
        super().__init__(config)
        new = backbone is not None
        if backbone is None:
            backbone = backbone_from_config(config.backbone_config())
        else:
            leave_weights_alone(backbone)
        backbone.config.use_cache = False
        if config.attention_layers is None:
            config.attention_layers = find_attention_layers(backbone)
        check_segment_length(config, backbone)
        check_readout_layers(config)
        choose_sizes(config, backbone.config.hidden_size)
        if new:
            try_designs(config, backbone.config.hidden_size)
        self.encoder = SegmentEncoder(config, backbone)
        self._check_room_for_documents()
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
        """Tokens of a segment that are the document's own, beside an instruction if the model has one."""
        return self.encoder.capacity if self.config.instruction is None else self.own_tokens_beside(0)

    def own_tokens_beside(self, question_tokens: int) -> int:
        """Tokens of a segment that are the document's own where a question of so many tokens stands before them."""
        instruction = len(self.config.instruction or ())
        return self.encoder.capacity - len(self.encoder.special.separator) - instruction - question_tokens

    def instruct(self, ids: Sequence[int] | None) -> None:
        """Put an instruction of these tokens before the own tokens of every segment from now on; None takes it away.

        Raises:
            ValueError: it leaves no room for the document.
        """
        before, self.config.instruction = self.config.instruction, None if ids is None else [int(id) for id in ids]
        try:
            self._check_room_for_documents()
        except ValueError:
            self.config.instruction = before
            raise

    @property
    def fingerprint(self) -> str:
        """What a state must have been written with to be read on with this model."""
        names = ("backbone", "memory", "memory_options", "memory_layers", "segment_length", "special_tokens")
        more = ("instruction", "learned_start", "document_queries", "document_temperature")
        layers = ("sliding_window_layers", "readout_layers")
        values = {name: getattr(self.config, name) for name in names + more + layers}
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
        instruction_ids: Tensor | None = None,
        instruction_mask: Tensor | None = None,
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
            question_ids: (batch, question tokens) without special tokens, one question per document, to stand in every
                segment before the document's own tokens; None if nothing is asked.
            question_mask: (batch, question tokens), 0 at padding.
            instruction_ids: (batch, instruction tokens) without special tokens, to stand before the question, or where
                it would; None takes the instruction of the configuration, if there is one.
            instruction_mask: (batch, instruction tokens), 0 at padding.
            output_token_states: False leaves `last_hidden_state` out, so that memory does not grow with the document.
            output_segment_states: True gives `segment_states`, one vector per segment.
            output_hidden_states: token states of every layer too; None asks the configuration.
            return_dict: False gives a tuple.

        Raises:
            ValueError: inputs that do not fit each other, a state of another model, a question longer than a segment.
        """
        refuse_replica(self)
        mask = checked_mask(input_ids, attention_mask, token_type_ids)
        state = self._checked_state(memory, len(input_ids))
        question = None if question_ids is None else Question.of(question_ids, question_mask)
        instruction = None if instruction_ids is None else Question.of(instruction_ids, instruction_mask)
        segments = self.segments_of(input_ids, mask, state, question, instruction)
        per_call = self._segments_per_call(input_ids)
        keep_layers = bool(self.config.output_hidden_states if output_hidden_states is None else output_hidden_states)
        keep = Keep(output_token_states, output_segment_states, keep_layers)
        with known_tokens(segments.ids, self.backbone.config.vocab_size):
            encoded = self.encoder(segments, state, per_call, keep)
        layers = tuple(token_states_at(layer, segments.row_index) for layer in encoded.layers)
        token_states, vector = token_states_at(encoded.token_states, segments.row_index), self.read_out(encoded.state)
        # Whatever a head reads has a gradient to all that others wait for.
        ties = (encoded.tie, zero_of(self, self.backbone))
        token_states, vector, segment_states = (plus(x, *ties) for x in (token_states, vector, encoded.segment_states))
        output = MemencOutput(
            last_hidden_state=token_states,
            pooler_output=vector,
            memory=MemoryState(encoded.state, self.fingerprint),
            segment_states=segment_states,
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
        mask = checked_mask(input_ids, attention_mask, None)
        state = self._checked_state(memory, len(input_ids))
        segments = self.segments_of(input_ids, mask, self.encoder.initial_state(len(input_ids)), question)
        with known_tokens(segments.ids, self.backbone.config.vocab_size):
            rows = self.encoder(segments, state, self._segments_per_call(input_ids)).token_states
        return cast(Tensor, token_states_at(rows, segments.row_index))

    def segments_of(
        self,
        input_ids: Tensor,
        mask: Tensor,
        state: dict[str, Tensor],
        question: Question | None = None,
        instruction: Question | None = None,
    ) -> Segments:
        """Documents (batch, tokens), bool `mask` like them, cut as this model reads them after `state`.

        Args:
            input_ids: own tokens.
            mask: False at padding.
            state: tensors of a memory.
            question: stands in every segment.
            instruction: stands before it; None takes the configuration's.
        """
        ids = self.config.instruction
        if instruction is None and ids is not None:
            batch = len(input_ids if question is None else question.ids)
            instruction = Question.same_for_all(ids, batch, input_ids.device)
        lead = question or instruction
        if instruction is not None and question is not None:
            lead = instruction.followed_by(question)
        special, length = self.encoder.special, self.config.segment_length
        return cut_into_segments(input_ids.long(), mask, special, length, self.encoder.pending(state), lead)

    def encode(
        self,
        texts: str | Iterable[str],
        tokenizer: PreTrainedTokenizerBase,
        documents_per_call: int = 64,
        tokens_per_call: int = 32_768,
    ) -> Tensor:
        """Context representations of texts of any length, (texts, hidden), tokenised in a stream.

        Args:
            texts: one text (gives one row), a list, array or column of texts, or an iterator: pieces of ONE text, read
                in a stream (a file or a generator, say) and never held as a whole.
            tokenizer: of the backbone.
            documents_per_call: texts read side by side, at most.
            tokens_per_call: tokens read at once, padding included; bounds the memory.

        Raises:
            ValueError: something other than texts.
        """
        return encode_texts(self, texts, tokenizer, documents_per_call, tokens_per_call)[0]

    def _segments_per_call(self, input_ids: Tensor) -> int:
        setting, length = self.config.segments_per_call, self.config.segment_length
        return resolve_segments_per_call(setting, input_ids.device, len(input_ids), length)

    def _check_room_for_documents(self) -> None:
        room = self.own_tokens_per_segment
        if room < 1:
            count = len(self.config.instruction or ())
            raise ValueError(
                f"the instruction has {count} tokens, but a segment of {self.config.segment_length} has room for "
                f"{count + room - 1} beside its special tokens and one of the document's; shorten it or choose longer "
                "segments"
            )

    def _checked_state(self, memory: MemoryState | None, batch: int) -> dict[str, Tensor]:
        if memory is None:
            return self.encoder.initial_state(batch)
        if not isinstance(memory, MemoryState):
            raise ValueError(
                f"memory={reprlib.repr(memory)} is no MemoryState; give `output.memory` of an earlier call, or "
                "MemoryState.load(path) for one that was saved"
            )
        if memory.fingerprint != self.fingerprint:
            raise ValueError(
                f"this memory was written by another model or configuration ({memory.fingerprint}, this model is "
                f"{self.fingerprint}); read the documents again with this model"
            )
        if len(memory) != batch:
            raise ValueError(f"memory holds {len(memory)} documents, input_ids {batch}; use memory.select(...)")
        return memory.to(self.device).tensors


class HasMemenc(Protocol):
    """A head model: the encoder is its `memenc`."""

    memenc: MemencModel


def memenc_of(model: MemencPreTrainedModel | HasMemenc) -> MemencModel:
    """The encoder itself, or the one inside a head model."""
    return model if isinstance(model, MemencModel) else cast(HasMemenc, model).memenc
