"""Ways to adapt: exactly what each names is trained, and what is saved gives the same outputs."""

from typing import get_args

import pytest
import torch
from transformers import TrainerCallback

from memenc import LongDocumentClassifier, MemencModel
from memenc.storage.files import check_sealed, checksums, seal
from memenc.training.adaptation import ADAPTATIONS, adapted
from memenc.training.adaptation.cost import CostCallback
from memenc.training.documents import TokenizedDocuments
from memenc.training.run import train_classifier
from memenc.training.settings import TrainingSettings, Way
from tests.backbones import BACKBONES, SEGMENT
from tests.memory.checks import tokens
from tests.tiny import TINY_MEMORY, TINY_MODEL, TINY_TRAINING, save_tiny_backbone, tiny_documents
from tests.training.adapting import classifier, part_of

every_way = pytest.mark.parametrize("way", ADAPTATIONS)
WAYS = {way: TrainingSettings(adapt=way) for way in ADAPTATIONS}
NEW = {"head", "start", "memory", "readout"}
TRAINED = {
    "full": {"weights", "biases", *NEW},
    "frozen": NEW,
    "lora": {"low-rank", *NEW},
    "prefix": {"start", "head"},
    "bitfit": {"biases", *NEW},
}


def test_settings_know_every_way():
    assert get_args(Way) == tuple(ADAPTATIONS) == tuple(TRAINED)
    with pytest.raises(ValueError, match="adapt='half': choose one of full, frozen"):
        TrainingSettings(adapt="half")


@every_way
def test_trains_exactly_what_it_names(way):
    if way == "lora":
        pytest.importorskip("peft")
    model = classifier()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    with adapted(model, WAYS[way]):
        named = dict(model.named_parameters())
        assert {part_of(name) for name, parameter in named.items() if parameter.requires_grad} == TRAINED[way]
        optimizer = torch.optim.SGD([p for p in named.values() if p.requires_grad], lr=10.0)
        for _ in range(2):
            optimizer.zero_grad()
            model.train()(tokens(4, 60), labels=torch.tensor([0, 1, 0, 1])).loss.backward()
            optimizer.step()
    # LoRA's additions are by now part of the weights.
    expected = TRAINED[way] - {"low-rank"} | ({"weights"} if way == "lora" else set())
    after = dict(model.named_parameters())
    assert after.keys() == before.keys() and all(parameter.requires_grad for parameter in after.values())
    changed = {part_of(name) for name, value in before.items() if not torch.equal(after[name], value)}
    assert changed == expected


@pytest.mark.parametrize("rank", (2, 8))
def test_low_rank_additions_have_the_rank_that_was_asked_for(rank):
    pytest.importorskip("peft")
    model = classifier()
    with adapted(model, TrainingSettings(adapt="lora", lora_rank=rank)):
        added = {name: value.shape for name, value in model.named_parameters() if "lora_" in name}
    assert {shape[0] for name, shape in added.items() if "lora_A" in name} == {rank}
    assert {shape[1] for name, shape in added.items() if "lora_B" in name} == {rank}


def test_a_rank_without_low_rank_additions_is_refused():
    with pytest.raises(ValueError, match="lora_rank=4 changes nothing with adapt='frozen'"):
        TrainingSettings(adapt="frozen", lora_rank=4)
    with pytest.raises(ValueError, match="lora_rank=0: give a number above 0"):
        TrainingSettings(adapt="lora", lora_rank=0)


@pytest.mark.parametrize("kind", BACKBONES)
def test_low_rank_additions_fit_every_backbone_and_keep_its_memory(kind):
    pytest.importorskip("peft")
    model, ids = classifier(kind).eval(), tokens(2, 60)
    fresh = model(ids).logits
    with adapted(model, WAYS["lora"]):
        assert torch.equal(model.eval()(ids).logits, fresh)
        added = [name for name, parameter in model.named_parameters() if "lora_B" in name]
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_" in name:
                    parameter.normal_(std=0.3)
        memory = model.memenc(ids[:, : 2 * SEGMENT]).memory
        adapted_logits = model(ids).logits
        alone, after = model(ids[:, SEGMENT:]).logits, model(ids[:, SEGMENT:], memory=memory).logits
    assert all(".backbone." in name for name in added) and len(added) >= 6
    assert (adapted_logits - fresh).abs().max() > 1e-3 and (alone - after).abs().max() > 1e-4
    torch.testing.assert_close(model(ids).logits, adapted_logits, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", BACKBONES)
def test_biases_are_found_or_their_absence_is_said(kind):
    model = classifier(kind)
    if not BACKBONES[kind].biases:
        with pytest.raises(ValueError, match="has no biases; use lora"), adapted(model, WAYS["bitfit"]):
            pass
        assert all(parameter.requires_grad for parameter in model.parameters())
        return
    with adapted(model, WAYS["bitfit"]):
        trained = [name for name, p in model.named_parameters() if p.requires_grad and ".backbone." in name]
    assert trained and all(name.endswith(".bias") for name in trained)


@pytest.mark.parametrize("way, dropout", [("full", True), ("frozen", False), ("prefix", False), ("bitfit", True)])
def test_a_backbone_that_is_not_trained_has_no_dropout(way, dropout):
    model, ids = classifier(classifier_dropout=0.0), tokens(4, 60)
    for module in model.memenc.backbone.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    with adapted(model, WAYS[way]):
        model.train()
        assert torch.equal(model(ids).logits, model(ids).logits) != dropout


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return save_tiny_backbone(tmp_path_factory.mktemp("backbone"))


def estimator(backbone, way, **changes):
    training = {**TINY_TRAINING, "epochs": 1, "adapt": way, "learning_rate": 1e-2}
    options = {"memory_options": TINY_MEMORY, "model_options": TINY_MODEL, "training": training, "verbose": False}
    return LongDocumentClassifier(backbone, random_state=0, **(options | changes))


@every_way
def test_saved_and_loaded_gives_the_same(way, backbone, tmp_path):
    if way == "lora":
        pytest.importorskip("peft")
    texts, labels = tiny_documents(24, (5, 60), seed=1)
    fitted = estimator(backbone, way).fit(texts, labels)
    fitted.save_pretrained(tmp_path)
    again = LongDocumentClassifier.from_pretrained(tmp_path)
    assert (again.predict_proba(texts) == fitted.predict_proba(texts)).all()
    ids = torch.randint(7, 40, (2, 60))
    with torch.no_grad():
        wanted = fitted.model_.eval().memenc(ids).pooler_output
        assert torch.equal(MemencModel.from_pretrained(tmp_path)(ids).pooler_output, wanted)
    share = fitted.cost_.trained_share
    assert share == 1 if way == "full" else 0 < share < 1
    assert fitted.cost_.seconds > 0 and (fitted.cost_.peak_memory_bytes or 1) > 0


def test_baselines_of_a_prefix_train_their_head(backbone):
    texts, labels = tiny_documents(12, (5, 40), seed=2)
    fitted = estimator(backbone, "prefix").fit(texts, labels)
    report = fitted.report(texts, labels, baselines=["truncate", "chunk-and-pool"])
    assert [row.name for row in report.rows[1:]] == ["truncate", "chunk-and-pool"]
    assert fitted.training["adapt"] == "prefix"


def test_prefix_contradicts_a_model_without_a_start(backbone):
    texts, labels = tiny_documents(4, (5, 40), seed=3)
    with pytest.raises(ValueError, match="adapt='prefix' needs learned_start=True, received False"):
        estimator(backbone, "prefix", model_options={**TINY_MODEL, "learned_start": False}).fit(texts, labels)


def test_cost_counts_what_is_trained():
    model = classifier()
    documents = TokenizedDocuments([tokens(40).numpy() for _ in range(8)], [0, 1] * 4)
    cost = CostCallback("frozen")
    settings = TrainingSettings(adapt="frozen", epochs=1)
    train_classifier(model, documents, None, settings, quiet=True, device="cpu", callbacks=[cost])
    own = sum(p.numel() for name, p in model.named_parameters() if ".backbone." not in name)
    assert cost.cost.trained_parameters == own
    assert cost.cost.parameters == sum(p.numel() for p in model.parameters())
    assert f"{own:,} of" in str(cost.cost) and cost.as_dict()["adapt"] == "frozen"


class Clock(TrainerCallback):
    """A second per step; somebody stops the training at `stop`."""

    def __init__(self, stop=None):
        self.seconds, self.stop = 1000.0, stop

    def monotonic(self):
        return self.seconds

    def on_step_end(self, args, state, control, **kwargs):
        self.seconds += 1
        if state.global_step == self.stop:
            raise KeyboardInterrupt


def test_cost_of_a_resumed_training_counts_the_processes_before(tmp_path, monkeypatch):
    def train(folder, peak, stop=None, resume=False):
        cost, clock = CostCallback("full"), Clock(stop)
        monkeypatch.setattr("memenc.training.adaptation.cost.time", clock)
        monkeypatch.setattr("memenc.training.adaptation.cost.peak_memory", lambda: peak)
        settings = TrainingSettings(epochs=3, documents_per_step=4)
        options = {"quiet": True, "device": "cpu", "callbacks": [clock, cost]}
        train_classifier(classifier(), data, None, settings, folder, resume, **options)
        return cost.cost.seconds, cost.cost.peak_memory_bytes

    data = TokenizedDocuments([tokens(20).numpy() for _ in range(12)], [0, 1] * 6)
    assert train(tmp_path / "whole", 500) == (9, 500)
    # Of three steps an epoch, the last two before the kill were for nothing and are trained again.
    for stop, resume in ((5, False), (8, True)):
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "killed", 700, stop, resume)
    assert train(tmp_path / "killed", None, resume=True) == (9, 700)
    assert train(tmp_path / "killed", 900, resume=True) == (9, 900)
    check_sealed(tmp_path / "killed" / "checkpoint-9")
    assert "cost.json" in checksums(tmp_path / "killed" / "checkpoint-9")
    # Checkpoints of before do not know what they took.
    (tmp_path / "whole" / "checkpoint-9" / "cost.json").unlink()
    seal(tmp_path / "whole" / "checkpoint-9")
    assert train(tmp_path / "whole", 300, resume=True) == (0, 300)
