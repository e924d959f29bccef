"""Every memory design in the same number of bytes: what it keeps, what it costs, how far back it still hears.

python examples/03_same_bytes.py
"""

import torch
from rich.console import Console
from rich.table import Table
from transformers import AutoConfig, AutoModel

from memenc import MemencModel, available_memories

SEGMENT = 32


def encoder(memory: str, budget_bytes: int) -> MemencModel:
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}
    backbone = AutoModel.from_config(AutoConfig.for_model("bert", vocab_size=500, **sizes))
    options = {} if memory == "none" else {"budget_bytes": budget_bytes}
    return MemencModel.from_backbone(backbone, memory, options, segment_length=SEGMENT, memory_layers="all").eval()


@torch.no_grad()
def heard(model: MemencModel, segments: int) -> float:
    """How much the last segment's states change, relatively, when the first segment is another."""
    torch.manual_seed(1)
    ids = torch.randint(5, 500, (1, segments * SEGMENT))
    other = torch.cat([torch.randint(5, 500, (1, SEGMENT)), ids[:, SEGMENT:]], dim=1)
    one, two = (model(document).last_hidden_state[:, -SEGMENT:] for document in (ids, other))
    return float((one - two).norm() / one.norm())


def main(budget_bytes: int = 100_000) -> dict[str, float]:
    table, found = Table("memory", "sizes it chose", "bytes", "hears 1 back", "hears 30 back"), {}
    for memory in available_memories():
        model = encoder(memory, budget_bytes)
        state = model.initial_memory(1).tensors
        kept = sum(x.nbytes for name, x in state.items() if name.startswith(("layers.", "top.")))
        found[memory] = heard(model, 31)
        sizes = ", ".join(f"{key}={value}" for key, value in (model.config.memory_options or {}).items())
        table.add_row(memory, sizes, f"{kept:,}", f"{heard(model, 2):.1e}", f"{found[memory]:.1e}")
    Console().print(table)
    return found


if __name__ == "__main__":
    main()
