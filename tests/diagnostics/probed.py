"""A small probe, facts that cannot be mistaken, and models that are probed."""

import torch

from memenc import MemencForSequenceClassification
from memenc.diagnostics.probing.facts import Facts
from memenc.diagnostics.probing.probe import ProbeSettings
from tests.memory.checks import CAPACITY, build

SETTINGS = ProbeSettings(segments=3, fact_documents=20, cell_documents=5, most_facts=2, drift_segments=4)


def plain_facts():
    """Facts of two classes in words that nothing else can be mistaken for."""
    ids = tuple(torch.full((CAPACITY,), 10 + index) for index in range(4))
    return Facts(ids, (0, 1, 0, 1), ("approved", "rejected"))


def classifier(design="windowed_one_segment", **options):
    names = {0: "approved", 1: "rejected"}
    model = build(design, model_class=MemencForSequenceClassification, num_labels=2, id2label=names, **options)
    assert list(model.config.id2label.values()) == list(names.values())
    return model
