"""Lower layers that cannot change are computed once per segment, and nothing comes out different."""

import shutil
from collections import namedtuple
from contextlib import ExitStack

import pytest
import torch

from memenc import MemencForSequenceClassification
from memenc.training import run
from memenc.training.adaptation import adapted
from memenc.training.cache import cached_lower_layers, layers_of
from memenc.training.documents import TokenizedDocuments
from memenc.training.run import predict_logits, train_classifier
from memenc.training.settings import TrainingSettings
from tests.backbones import BACKBONES, SEGMENT, tiny_backbone
from tests.memory.checks import SPECIAL, assert_close, documents_of, ragged, tokens

WINDOW = {"window": 12}
FROZEN = TrainingSettings(adapt="frozen")


def classifier(kind="bert", memory="windowed", seed=0, **options):
    torch.manual_seed(seed)
    options = {"memory_layers": "upper_half", "segment_length": SEGMENT, **options}
    given = {"memory_options": WINDOW} if memory == "windowed" else {}
    backbone = tiny_backbone(kind, num_hidden_layers=4, n_layers=4)
    options = {"special_tokens": SPECIAL, "num_labels": 2} | options
    return MemencForSequenceClassification.from_backbone(backbone, memory=memory, **given, **options).double()


def count_tokens(model):
    """A list with the tokens of every call of the first layer's query."""
    seen = []
    query = next(part for name, part in model.named_modules() if name.endswith("layer.0.attention.self.query"))
    query.register_forward_hook(lambda module, given, result: seen.append(given[0].shape[0] * given[0].shape[1]))
    return seen


def trained(monkeypatch, way, memory, cached, epochs=3, **options):
    """Logits after training, the weights, and the tokens that the first layer has seen."""
    model = classifier(memory=memory, **options)
    with torch.no_grad():
        for name, parameter in model.memenc.encoder.memories.named_parameters():
            if name.endswith("_bias"):
                parameter.zero_()
    seen = count_tokens(model)
    generator = torch.Generator().manual_seed(1)
    ids = [torch.randint(5, 60, (length,), generator=generator).numpy() for length in (3, 90, 14, 61, 40, 28, 77, 50)]
    documents = TokenizedDocuments(ids, [0, 1] * 4)
    settings = TrainingSettings(adapt=way, epochs=epochs, documents_per_step=4, tokens_per_batch=128, warmup_share=0.0)
    with monkeypatch.context() as patch:
        if not cached:
            patch.setattr(run, "cached_lower_layers", lambda encoder, folder: ExitStack())
        train_classifier(model, documents, None, settings, quiet=True, device="cpu")
    count = sum(seen)
    assert "forward" not in vars(model.memenc.backbone)
    return predict_logits(model, documents), dict(model.named_parameters()), count


@pytest.mark.parametrize("way, memory", [("frozen", "windowed"), ("frozen", "none"), ("prefix", "windowed")])
def test_training_gives_the_same_weights_with_fewer_tokens(way, memory, monkeypatch):
    options = {"learned_start": way == "prefix"}
    logits, weights, many = trained(monkeypatch, way, memory, cached=False, **options)
    cached_logits, cached_weights, few = trained(monkeypatch, way, memory, cached=True, **options)
    for name, weight in weights.items():
        assert (cached_weights[name] - weight).abs().max() < 1e-11, name
    assert abs(cached_logits - logits).max() < 1e-9
    # Once instead of in each of three epochs.
    assert few < many / 2.5


@pytest.mark.parametrize("way", ("full", "lora", "bitfit"))
def test_nothing_is_cached_where_the_backbone_learns(way, tmp_path):
    pytest.importorskip("peft")
    model = classifier()
    with adapted(model, TrainingSettings(adapt=way)), cached_lower_layers(model.memenc.encoder, tmp_path) as constant:
        assert constant == 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "options, constant",
    [
        ({}, 2),
        ({"memory_layers": "all"}, 0),
        ({"memory_layers": [3]}, 3),
        ({"memory": "none"}, 4),
        ({"memory": "tokens"}, 0),
        ({"attention_dropout": 0.1}, 0),
    ],
    ids=str,
)
def test_layers_below_the_first_memory_are_constant(options, constant, tmp_path):
    model = classifier(**options)
    with adapted(model, FROZEN), cached_lower_layers(model.memenc.encoder, tmp_path) as found:
        assert found == constant


@pytest.mark.parametrize("kind", BACKBONES)
@pytest.mark.parametrize("memory", ("windowed", "none"))
def test_every_backbone_reads_the_same_from_the_cache(kind, memory, tmp_path):
    model = classifier(kind, memory).to(BACKBONES[kind].precision).eval()
    for parameter in model.memenc.encoder.memories.parameters():
        torch.nn.init.zeros_(parameter)
    ids, mask = ragged(documents_of(50, 14, 0, 3, 80), pad="interior")
    with torch.no_grad(), adapted(model, FROZEN):
        wanted = model(ids, mask).logits
        with cached_lower_layers(model.memenc.encoder, tmp_path) as constant:
            first, again = model(ids, mask).logits, model(ids, mask).logits
            other = model(ids[[4, 0]], mask[[4, 0]]).logits
    assert constant == (0 if kind == "albert" and memory != "none" else 4 if memory == "none" else 2)
    tolerance = 1e-12 if BACKBONES[kind].precision == torch.float64 else 1e-5
    for got, want in ((first, wanted), (again, wanted), (other, wanted[[4, 0]])):
        assert_close(got, want, tolerance, "logits")


@pytest.mark.parametrize("memory", ("windowed", "none"))
def test_questions_and_instructions_are_read_from_the_cache_too(memory, tmp_path):
    model = classifier(memory=memory, special_tokens=SPECIAL | {"own_type": 1}).eval()
    encoder = model.memenc
    seen = count_tokens(model)
    ids, questions = tokens(2, 60), torch.tensor([[7, 8], [9, 10]])

    def vectors(question_ids=None, instruction=None):
        encoder.instruct(instruction)
        return encoder(ids, question_ids=question_ids).pooler_output

    ways = ({}, {"question_ids": questions}, {"question_ids": questions.flip(0)}, {"instruction": [7, 8]})
    with torch.no_grad(), adapted(model, FROZEN):
        wanted = [vectors(**way) for way in ways]
        with cached_lower_layers(encoder.encoder, tmp_path):
            first = [vectors(**way) for way in ways]
            seen.clear()
            again = [vectors(**way) for way in ways]
    assert not seen
    assert not any(torch.equal(wanted[0], other) for other in wanted[1:])
    for got in (first, again):
        for one, other in zip(got, wanted, strict=True):
            assert_close(one, other, 1e-12)


def test_a_disk_without_room_changes_nothing(tmp_path, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(2 * 3 * SEGMENT * 32 * 8))
    model, ids = classifier().eval(), tokens(2, 5 * SEGMENT)
    with torch.no_grad(), adapted(model, FROZEN):
        wanted = model(ids).logits
        with cached_lower_layers(model.memenc.encoder, tmp_path):
            assert_close(model(ids).logits, wanted, 1e-12)
            assert_close(model(ids).logits, wanted, 1e-12)
    assert (tmp_path / "token_states.bin").stat().st_size == 3 * SEGMENT * 32 * 8


def test_layers_are_what_they_were_afterwards(tmp_path):
    model, ids = classifier(), tokens(2, 60)
    backbone = model.memenc.backbone
    with pytest.raises(KeyError), adapted(model, FROZEN), cached_lower_layers(model.memenc.encoder, tmp_path):
        model.eval()(ids)
        raise KeyError
    assert not any("forward" in vars(part) for part in (backbone, *layers_of(backbone)))
