"""How much a fresh memory disturbs a pre-trained encoder, by the bias at which its entries start.

    python benchmarks/fresh_memory.py --backbone PATH

Relative change of the token states behind the second segment, and cosine between mean vectors with and without memory.
"""

from __future__ import annotations

import argparse

import torch
from common import RESULTS, write
from transformers import AutoTokenizer

from memenc import MemencModel
from memenc.data.decisive_sentence import generate

DESIGNS = {"windowed": {"window": 512}, "compressive": {"window": 512, "slots": 128}, "moving_average": {}}


@torch.no_grad()
def change(with_memory: MemencModel, without: MemencModel, documents: list[torch.Tensor]) -> tuple[float, float]:
    """Relative change and cosine, means over documents."""
    changes, cosines = [], []
    for ids in documents:
        ours, plain = with_memory(ids), without(ids)
        later = slice(2 * with_memory.config.segment_length, None)
        difference = (ours.last_hidden_state - plain.last_hidden_state)[:, later].norm()
        changes.append(float(difference / plain.last_hidden_state[:, later].norm()))
        cosines.append(float(torch.cosine_similarity(ours.pooler_output, plain.pooler_output)))
    return sum(changes) / len(changes), sum(cosines) / len(cosines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", required=True)
    backbone = parser.parse_args().backbone
    tokenizer = AutoTokenizer.from_pretrained(backbone)
    texts = [document.text for document in generate(3, 16, "train", "fixed", seed=0)]
    documents = [tokenizer(text, return_tensors="pt", verbose=False).input_ids for text in texts]
    options = {"segment_length": 128, "readout": "mean"}
    without = MemencModel.from_backbone(backbone, memory="none", **options)
    rows = []
    for name, design in DESIGNS.items():
        for bias in (None, -4.0, -2.0, 0.0):
            memory_options = {**design, "initial_bias": bias}
            model = MemencModel.from_backbone(backbone, memory=name, memory_options=memory_options, **options)
            relative, cosine = change(model, without, documents)
            start = "default" if bias is None else bias
            rows.append({"design": name, "bias": start, "change": round(relative, 4), "cosine": round(cosine, 4)})
    write(RESULTS / "fresh_memory.csv", rows)


if __name__ == "__main__":
    main()
