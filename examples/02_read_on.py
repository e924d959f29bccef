"""Read a document in pieces: stop, save what is remembered, load it, read on. The result is that of one reading.

python examples/02_read_on.py
"""

import tempfile
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModel

from memenc import MemencModel, MemoryState


def main() -> float:
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    backbone = AutoModel.from_config(AutoConfig.for_model("bert", vocab_size=1_000, **sizes))
    model = MemencModel.from_backbone(
        backbone, memory="compressive", memory_options={"window": 64, "slots": 16, "rate": 4}, segment_length=64
    ).eval()
    document = torch.randint(5, 1_000, (1, 10_000))
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        at_once = model(document)
        first = model(document[:, :3_333])
        first.memory.save(Path(folder) / "half-read.memory")
        later = MemoryState.load(Path(folder) / "half-read.memory")
        second = model(document[:, 3_333:], memory=later)
    difference = float((second.pooler_output - at_once.pooler_output).abs().max())
    print(f"{int(second.memory.tokens_seen)} tokens read, {second.memory.nbytes:,} bytes remembered")
    print(f"in two sittings or one: vectors differ by {difference:.1e}")
    return difference


if __name__ == "__main__":
    main()
