"""Memory designs of this library at equal state bytes, and chunk-and-pool, which is the same without a memory."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor
from transformers import PreTrainedModel

from memenc.backbones.loading import find_attention_layers, load_backbone
from memenc.comparison.contenders import Contender, start_options
from memenc.comparison.readers.encoder import shared_encoder
from memenc.comparison.readers.network import Network, NotRun, Told, nobody
from memenc.comparison.settings import EncoderSizes
from memenc.config import MemencConfig, plain_backbone_config
from memenc.data.memory_tasks import MemoryTask
from memenc.encoder.places import layer_places, top_place
from memenc.memory import LayerSizes, design_named
from memenc.memory.budget import shared_budget
from memenc.memory.document import DocumentMemory
from memenc.readout import READOUTS
from memenc.readout.base import Readout
from memenc.tasks import MemencClassifierOutput, MemencForSequenceClassification

# The document memory of designs that read it.
DOCUMENT: dict[str, Any] = {"queries": 1, "temperature": "fixed"}
# Of a piece, when nothing but the state in the end matters.
TOKENS = 1_024


@final
class MemoryNetwork(Network):
    """A memory design over the shared encoder, segment by segment.

    Args:
        task: what is to be remembered.
        contender: the design.
        budget: bytes of one document's state; None leaves the design as its options make it.
        sizes: of the encoder.
        documents_per_call: documents that are trained on side by side.
        growing_segments: longest document for a design without a bound.

    Raises:
        NotRun: the smallest memory of this design does not fit the budget.
    """

    def __init__(
        self, task: MemoryTask, contender: Contender, budget: int | None, sizes: EncoderSizes, growing_segments: int
    ) -> None:
        super().__init__()
        self.growing_segments = None if contender.bounded else growing_segments
        backbone = load_backbone(shared_encoder(task, sizes, task.segment_length))
        self.model = MemencForSequenceClassification.from_backbone(
            backbone,
            memory=contender.memory,
            memory_options=options_within(contender, budget, backbone, sizes.memory_layers, task.segment_length),
            memory_layers=sizes.memory_layers,
            readout=contender.readout,
            segment_length=task.segment_length,
            document_queries=DOCUMENT["queries"],
            document_temperature=DOCUMENT["temperature"],
            classifier_dropout=0.0,
            num_labels=task.labels,
        )

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor | float]:
        """Logits, and the design's own loss if it has one."""
        output = self.model.memenc(ids, output_token_states=False)
        beside = output.auxiliary_loss
        return self.model.classifier(output.pooler_output), 0.0 if beside is None else beside

    def read(self, ids: Tensor, tokens: int, told: Told = nobody) -> Tensor:
        """Whole segments a piece, the state handed on, so that memory does not grow with the document."""
        logits = self.read_on(ids, tokens, told).logits
        assert logits is not None
        return logits

    def read_on(self, ids: Tensor, tokens: int, told: Told = nobody) -> MemencClassifierOutput:
        """Output of the last piece."""
        length, output = self.model.config.segment_length, None
        for piece in ids.split(max(1, tokens // length) * length, dim=1):
            output = self.model(piece, memory=output and output.memory)
            told(piece.numel())
        assert output is not None
        return output

    def why_not(self, segments: int) -> str | None:
        """Without a bound, time grows with the square of the document."""
        if self.growing_segments is not None and segments > self.growing_segments:
            return f"a memory without a bound is read up to {self.growing_segments} segments"
        return None

    def is_of_backbone(self, name: str) -> bool:
        """The encoder within the model."""
        return ".backbone." in name

    def is_of_memory(self, name: str) -> bool:
        """All that is neither encoder nor head."""
        return not self.is_of_backbone(name) and not name.startswith("model.classifier")

    @torch.no_grad()
    def state_bytes(self, segments: int) -> int:
        """What comes back into the layers, and what the readout reads over them."""
        ids = torch.ones(1, segments * self.model.config.segment_length, dtype=torch.long, device=self.model.device)
        row, encoder = self.model.memenc.encoder.row_tokens, self.model.memenc
        streams = row is not None and row.streams
        counted = ["layers."] + ["top."] * (streams or encoder.readout.reads_top)
        gathered = [""] if encoder.readout.reads_attention else encoder.readout.gathers
        counted += [f"document.{name}" for name in gathered]
        state = self.read_on(ids, TOKENS).memory
        assert state is not None
        return sum(tensor.nbytes for name, tensor in state.tensors.items() if name.startswith(tuple(counted)))


def options_within(
    contender: Contender, budget: int | None, backbone: PreTrainedModel, memory_layers: Any, segment_length: int
) -> dict[str, Any] | None:
    """Options of a design whose state takes at most so many bytes; compositions share them.

    Only state that comes back into the layers counts: over the top that is memory tokens and summaries, for all other
    designs it is read by nobody, unless the readout reads the document memory and what stands over the top.
    """
    parts, readout = start_options(contender.memory, contender.options, segment_length), READOUTS[contender.readout]
    hidden = backbone.config.hidden_size
    needed = document_bytes(hidden, readout)
    if budget is not None and needed:
        if needed >= budget:
            raise NotRun(f"the document memory alone takes {needed:,} of {budget:,} bytes")
        budget -= needed
    if budget is not None:
        places = {
            name: counted_places(name, backbone, memory_layers, segment_length, readout.reads_top) for name in parts
        }
        try:
            parts = shared_budget(places, parts, budget)
        except ValueError as error:
            if "too small" in str(error):
                raise NotRun(str(error).partition(";")[0]) from error
            raise
    return parts if len(parts) > 1 else parts[contender.memory]


def document_bytes(hidden: int, readout: type[Readout]) -> int:
    """Bytes that a readout reads of the document memory of one document."""
    tensors = DocumentMemory(hidden, **DOCUMENT).initial_state(1, torch.zeros(1))
    return sum(x.nbytes for name, x in tensors.items() if readout.reads_attention or name in readout.gathers)


def counted_places(
    name: str, backbone: PreTrainedModel, memory_layers: Any, segment_length: int, reads_top: bool = False
) -> list[LayerSizes]:
    """Where the state of a design comes back in from, and what a readout reads over the top."""
    row = design_named(name).row
    config = MemencConfig(
        backbone=plain_backbone_config(backbone.config),
        memory="none",
        memory_layers=memory_layers,
        segment_length=segment_length,
        attention_layers=find_attention_layers(backbone),
    )
    top = top_place(config, backbone.config.hidden_size)
    if row is not None and row.streams:
        return [top]
    inside = list(layer_places(config).values())
    return [*inside, top] if reads_top else inside
