"""Train the context representation as an embedding: on pairs of documents of any length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.utils.generic import ModelOutput

from memenc.config import MemencConfig
from memenc.model import MemencModel
from memenc.pretrained import MemencPreTrainedModel
from memenc.tasks.labels import class_numbers


@dataclass
class TextPairOutput(ModelOutput):
    """Output of :class:`MemencForTextPairs`.

    Args:
        loss: scalar, if there is something to learn from.
        logits: contrastive: cosines (batch, batch) of every first with every second document; cosine: of the pairs
            (batch,); classification: (batch, labels).
        first: (batch, hidden) embeddings of the first documents.
        second: (batch, hidden) embeddings of the second documents.
        auxiliary_loss: scalar, the design's own, if it has one; it is part of the loss.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    first: Tensor | None = None
    second: Tensor | None = None
    auxiliary_loss: Tensor | None = None


class MemencForTextPairs(MemencPreTrainedModel):
    """Embeddings of two documents and what is said about the pair.

    `config.pair_loss` chooses what is learned:

    * contrastive: pairs belong together, all other pairs of a batch do not: InfoNCE with in-batch negatives, van den
      Oord et al. 2018 (arXiv:1807.03748), cosines divided by `config.pair_temperature`; needs no labels;
    * cosine: labels are the similarity of a pair, from -1 to 1, by squared error;
    * classification: labels are classes of a pair, a linear layer on both embeddings and their absolute difference,
      Reimers and Gurevych 2019 (arXiv:1908.10084).

    Saved, the folder is an embedding model: `MemencModel.from_pretrained`, or `SentenceTransformer`.

    Args:
        config: of the model, with `num_labels` for classification.
        backbone: a loaded backbone with memenc attention; made from the configuration if None.
    """

    def __init__(self, config: MemencConfig, backbone: PreTrainedModel | None = None) -> None:
        super().__init__(config)
        self.memenc = MemencModel(config, backbone)
        classes = (config.num_labels or 1) if config.pair_loss == "classification" else 0
        hidden = self.memenc.backbone.config.hidden_size
        self.classifier = nn.Linear(3 * hidden, classes) if classes else None
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        pair_input_ids: Tensor,
        attention_mask: Tensor | None = None,
        pair_attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        return_dict: bool | None = None,
    ) -> TextPairOutput | tuple:
        """Compare documents.

        Args:
            input_ids: (batch, tokens) first documents.
            pair_input_ids: (batch, tokens) second documents, of any other length.
            attention_mask: (batch, tokens) of the first.
            pair_attention_mask: (batch, tokens) of the second.
            labels: (batch,), see above.
            return_dict: False gives a tuple.

        Raises:
            ValueError: other numbers of first and second documents, or labels that do not fit.
        """
        if len(input_ids) != len(pair_input_ids):
            raise ValueError(f"{len(input_ids)} first documents but {len(pair_input_ids)} second ones; give pairs")
        read = [
            self.memenc(ids, mask, output_token_states=False, output_hidden_states=False)
            for ids, mask in ((input_ids, attention_mask), (pair_input_ids, pair_attention_mask))
        ]
        first, second = (output.pooler_output for output in read)
        logits, loss = self._compared(first, second, labels)
        own = [output.auxiliary_loss for output in read if output.auxiliary_loss is not None]
        auxiliary = torch.stack(own).mean() if own else None
        loss = loss if loss is None or auxiliary is None else loss + auxiliary
        output = TextPairOutput(loss=loss, logits=logits, first=first, second=second, auxiliary_loss=auxiliary)
        return output if return_dict is not False else output.to_tuple()

    def _compared(self, first: Tensor, second: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Logits, and the loss if there is something to learn from."""
        if labels is not None and labels.shape != first.shape[:1]:
            raise ValueError(f"{len(first)} pairs need labels of shape ({len(first)},), received {tuple(labels.shape)}")
        if self.classifier is not None:
            logits = self.classifier(torch.cat([first, second, (first - second).abs()], dim=1))
            return logits, None if labels is None else functional.cross_entropy(logits, class_numbers(labels, logits))
        if self.config.pair_loss == "cosine":
            cosines = functional.cosine_similarity(first, second)
            if labels is not None and not bool(labels.isfinite().all()):
                row = int((~labels.isfinite()).nonzero()[0, 0])
                raise ValueError(f"pair {row} has the similarity {float(labels[row])}; give a finite number")
            return cosines, None if labels is None else functional.mse_loss(cosines, labels.to(cosines))
        if labels is not None:
            raise ValueError("pair_loss='contrastive' takes no labels: every pair belongs together; leave them out")
        loss, every = contrastive_loss(first, second, self.config.pair_temperature)
        return every, loss


def contrastive_loss(first: Tensor, second: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """InfoNCE with in-batch negatives, van den Oord et al. 2018 (arXiv:1807.03748), and the cosines it looks at.

    Args:
        first: (batch, hidden).
        second: (batch, hidden), of the documents that belong to them.
        temperature: cosines (batch, batch) are divided by it.
    """
    every = functional.normalize(first, dim=1) @ functional.normalize(second, dim=1).T
    return functional.cross_entropy(every / temperature, torch.arange(len(every), device=every.device)), every


def collate_pairs(collate: Any, pairs: list[dict[str, Any]]) -> dict[str, Tensor]:
    """Pairs with "input_ids" and "pair_input_ids", own tokens without special ones, and perhaps "labels", as a batch.

    Args:
        collate: a LongDocumentCollator.
        pairs: one dictionary per pair.
    """
    first = collate([{name: pair[name] for name in pair if name != "pair_input_ids"} for pair in pairs])
    second = collate([{"input_ids": pair["pair_input_ids"]} for pair in pairs])
    return first | {f"pair_{name}": value for name, value in second.items()}
