"""Short documents first, once; then any order."""

import torch

from memenc.training.curriculum import ShortestFirst


def test_first_epoch_goes_from_short_to_long_and_later_ones_do_not():
    lengths = torch.randint(1, 10_000, (400,)).tolist()
    sampler = ShortestFirst(lengths, seed=torch.initial_seed() % 2**31)
    first = list(sampler)
    assert sorted(first) == list(range(400)) and first == list(sampler)
    ordered = torch.tensor([lengths[index] for index in first], dtype=torch.float).log()
    assert torch.corrcoef(torch.stack([ordered, torch.arange(400.0)]))[0, 1] > 0.7
    sampler.set_epoch(1)
    second = list(sampler)
    assert sorted(second) == list(range(400)) and second != first
    later = torch.tensor([lengths[index] for index in second], dtype=torch.float).log()
    assert torch.corrcoef(torch.stack([later, torch.arange(400.0)]))[0, 1].abs() < 0.3
