"""Adapters of published packages: with a package made up for it, and with the real ones where they are installed."""

import sys
from types import ModuleType

import pytest
import torch
from torch import nn

from memenc.comparison.cells import cells_of
from memenc.comparison.contenders import PUBLISHED
from memenc.comparison.readers.build import reader_for
from memenc.comparison.readers.network import NotRun
from tests.comparison.made_up import settings
from tests.comparison.tiny_cells import TINY

NAME = "recurrent-memory-transformer-pytorch"


def cell_of(name):
    (cell,) = cells_of(settings(**(TINY | {"designs": [], "baselines": [], "published": [name]})))
    return cell


class Remembering(nn.Module):
    """Says how often it saw the first id of the first segment."""

    def __init__(self, **sizes):
        super().__init__()
        self.sizes = sizes
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, ids, memory=None):
        memory = ids[:, :1].float() if memory is None else memory
        logits = nn.functional.one_hot(ids, self.sizes["num_tokens"]) + memory[..., None] + self.weight
        return logits, memory, None


@pytest.fixture
def package(monkeypatch):
    made = ModuleType("recurrent_memory_transformer_pytorch")
    made.RecurrentMemoryTransformer = Remembering
    monkeypatch.setitem(sys.modules, made.__name__, made)
    monkeypatch.delitem(sys.modules, "memenc.comparison.published.recurrent_memory", raising=False)
    yield
    # The adapter holds the made-up class.
    sys.modules.pop("memenc.comparison.published.recurrent_memory", None)


def test_an_adapter_hands_memory_on_and_answers_from_the_last_token(package):
    cell = cell_of(NAME)
    reader = reader_for(cell, cell.new_task())
    sizes = reader.network.model.sizes
    assert (sizes["dim"], sizes["depth"], sizes["heads"], sizes["dim_head"], sizes["seq_len"]) == (16, 2, 2, 8, 4)
    assert sizes["num_memory_tokens"] == 2100 // (16 * 4)
    ids = torch.tensor([[5, 0, 0, 0, 9, 0, 0, 3]])
    logits, _ = reader.network(ids)
    assert logits.shape == (1, 16) and logits[0].tolist() == [5 + (label == 3) for label in range(16)]
    assert reader.memory(5)["state_bytes"] == 4


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_is_not_installed_is_not_run(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name.replace("-", "_"), None)
    cell = cell_of(name)
    with pytest.raises(NotRun, match=f"not installed: pip install {name}"):
        reader_for(cell, cell.new_task())


def test_what_a_package_forgot_to_ask_for_is_named(tmp_path, monkeypatch):
    (tmp_path / "titans_pytorch.py").write_text("import quite_another.part\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "titans_pytorch", raising=False)
    cell = cell_of("titans-pytorch")
    with pytest.raises(NotRun, match="not installed: pip install quite-another "):
        reader_for(cell, cell.new_task())


@pytest.mark.parametrize("name", PUBLISHED)
def test_installed_packages_learn_from_their_logits(name):
    pytest.importorskip(name.replace("-", "_"))
    cell = cell_of(name)
    task = cell.new_task()
    reader = reader_for(cell, task)
    ids, labels = task.batch(torch.Generator().manual_seed(0), 3, 5)
    logits, beside = reader.network(ids)
    assert logits.shape == (3, task.labels) and logits.isfinite().all()
    (nn.functional.cross_entropy(logits, labels) + beside).backward()
    assert any(parameter.grad is not None and parameter.grad.norm() > 0 for parameter in reader.network.parameters())
    assert reader.memory(5)["state_bytes"] > 0
