"""A tiny model on disk, and documents of mixed length in a file."""

import pytest
from transformers import AutoTokenizer

from memenc import MemencModel
from memenc.corpus_encoding import DocumentEncoder
from tests.cli.documents import reviews, write_lines
from tests.tiny import TINY_MEMORY, save_tiny_backbone


@pytest.fixture(scope="session")
def make_model(tmp_path_factory):
    """Write a model with random weights and give its folder."""

    def make(memory="compressive", segment_length=16):
        folder = tmp_path_factory.mktemp("model")
        backbone = save_tiny_backbone(folder / "backbone")
        options = TINY_MEMORY if memory == "compressive" else None
        made = MemencModel.from_backbone(backbone, memory, options, segment_length=segment_length)
        made.save_pretrained(folder / "model")
        AutoTokenizer.from_pretrained(backbone).save_pretrained(folder / "model")
        return str(folder / "model")

    return make


@pytest.fixture(scope="session")
def model(make_model):
    return make_model()


@pytest.fixture
def encoder(model):
    return DocumentEncoder(model, "cpu")


@pytest.fixture
def rows():
    return reviews(23)


@pytest.fixture
def data(tmp_path, rows):
    return write_lines(tmp_path / "data.jsonl", rows)
