"""Memory readout: learned queries over the whole document and over the final memory, beside the running mean."""

from __future__ import annotations

from typing import final as final_class

import torch
from einops import einsum
from torch import Tensor, nn
from torch.nn import functional

from memenc.memory import LayerMemory
from memenc.memory.document import DocumentMemory
from memenc.readout.base import FinalMemory, Readout


@final_class
class MemoryReadout(Readout):
    """``mean + W [document pooling, memory pooling]`` with W starting at zero, so that it starts as the mean.

    Document pooling is exact attention of the document memory's queries over all tokens; memory pooling is attention
    of as many queries over what the design still holds of the last layer's states, and the unfinished segment.
    """

    reads_attention = True
    reads_top = True

    def __init__(self, hidden: int, queries: int) -> None:
        super().__init__(hidden, queries)
        self.query = nn.Parameter(torch.empty(queries, hidden))
        self.mixture = nn.Parameter(torch.empty(hidden, 2 * queries * hidden))
        self.reset_parameters()

    def forward(self, final: FinalMemory, document_memory: DocumentMemory, top_memory: LayerMemory) -> Tensor:
        """Pool document and memory."""
        # Repeated, not expanded: a product with a stride of zero rounds by where the parameter lies in memory.
        queries = self.query.repeat(len(final.current["states"]), 1, 1)
        kept = attend_final_memory(queries, final, top_memory)
        found = torch.cat([document_memory.pooled(final.document), kept], dim=1)
        return final.document["mean"] + functional.linear(found.flatten(1), self.mixture.to(found.dtype))

    def reset_parameters(self) -> None:
        """Start as the mean; queries differ from each other so that they can part."""
        nn.init.normal_(self.query, std=0.02)
        nn.init.zeros_(self.mixture)


def attend_final_memory(queries: Tensor, final: FinalMemory, top_memory: LayerMemory) -> Tensor:
    """What queries (batch, queries, hidden) find among entries and unfinished segment, of the same shape.

    Zeros where a document has neither.
    """
    states, valid = final.current["states"], final.current["valid"]
    queries = queries.to(states.dtype)
    contents = states
    bias = states.new_zeros(states.shape[1])
    entries = top_memory.read(final.top)
    if entries is not None:
        keys, values = entries.keys.squeeze(1).to(states.dtype), entries.values.squeeze(1).to(states.dtype)
        states, contents = torch.cat([keys, states], dim=1), torch.cat([values, contents], dim=1)
        valid = torch.cat([entries.valid, valid], dim=1)
        top_bias = bias.new_zeros(keys.shape[1]) if entries.bias is None else entries.bias[0].to(bias.dtype)
        bias = torch.cat([top_bias, bias])
    logits = einsum(states, queries, "batch entries hidden, batch queries hidden -> batch queries entries") + bias
    # Documents that hold nothing would divide 0 by 0: they attend to everything and the result is taken away.
    nothing = ~valid.any(1)
    weights = logits.masked_fill(~(valid | nothing[:, None])[:, None], -torch.inf).softmax(-1)
    pooled = einsum(weights, contents, "batch queries entries, batch entries hidden -> batch queries hidden")
    pooled = torch.where(nothing[:, None, None], 0.0, pooled)
    for retrieved in top_memory.retrieve(final.top, queries[:, None]):
        weight = logits.masked_fill(~valid[:, None], -torch.inf).logsumexp(-1, keepdim=True)[:, None]
        pooled = retrieved.join(pooled[:, None], lambda weight=weight: weight).squeeze(1)
    return pooled
