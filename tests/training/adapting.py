"""A small classifier to adapt, and what its parameters are part of."""

from memenc import MemencForSequenceClassification
from tests.backbones import SEGMENT, tiny_backbone
from tests.memory.checks import SPECIAL
from tests.tiny import TINY_MEMORY


def classifier(kind="bert", memory="compressive", memory_options=TINY_MEMORY, **options):
    options = {"learned_start": True, "segment_length": SEGMENT, "memory_layers": "all", **options}
    return MemencForSequenceClassification.from_backbone(
        tiny_backbone(kind),
        memory=memory,
        memory_options=memory_options,
        special_tokens=SPECIAL,
        num_labels=2,
        **options,
    )


def part_of(name):
    if ".backbone." in name:
        low_rank = "lora_" in name
        return "low-rank" if low_rank else "biases" if name.endswith(".bias") else "weights"
    if not name.startswith("memenc."):
        return "head"
    if name.endswith(("start_keys", "start_values")):
        return "start"
    return "readout" if ".readout." in name else "memory"
