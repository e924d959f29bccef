"""A tiny classification task and what a Trainer needs to see it."""

import random

import torch
from torch.utils.data import Dataset

from tests.backbones import FIRST_ID, VOCABULARY


class RandomDocuments(Dataset):
    """Map-style dataset of documents of very different lengths with labels, the first as long as any may be."""

    def __init__(self, count, labels=3, longest=60):
        self.rows = [
            {
                "input_ids": torch.randint(FIRST_ID, VOCABULARY, (length,)),
                "labels": random.randrange(labels),
            }
            for length in (longest - 1, *(random.randrange(1, longest) for _ in range(count - 1)))
        ]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


def pad(rows):
    """Collator: ids padded on the right, a mask, labels."""
    longest = max(len(row["input_ids"]) for row in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    mask = torch.zeros(len(rows), longest, dtype=torch.long)
    for index, row in enumerate(rows):
        ids[index, : len(row["input_ids"])] = row["input_ids"]
        mask[index, : len(row["input_ids"])] = 1
    return {"input_ids": ids, "attention_mask": mask, "labels": torch.tensor([row["labels"] for row in rows])}
