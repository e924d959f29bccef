"""Checkpoints of the trainer: sealed, every so many steps, and exact where a run had stopped by itself."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file
from torch.utils.data import DataLoader
from transformers import TrainerControl, TrainerState, TrainingArguments

from memenc import MemencForSequenceClassification
from memenc.storage.files import check_sealed
from memenc.training.checkpoints import SaveEvery, check_checkpoint, epochs_if_stopped, newest_whole
from memenc.training.documents import TokenizedDocuments
from memenc.training.run import train_classifier
from memenc.training.settings import TrainingSettings
from memenc.training.stream import EndlessDocuments
from tests.backbones import tiny_backbone
from tests.tiny import TINY_MEMORY, TINY_MODEL


def documents(count):
    ids = [torch.randint(5, 50, (length,)).numpy() for length in torch.randint(1, 40, (count,)).tolist()]
    return TokenizedDocuments(ids, [index % 2 for index in range(count)])


def model_of(seed):
    torch.manual_seed(seed)
    return MemencForSequenceClassification.from_backbone(
        tiny_backbone("bert"), memory_options=TINY_MEMORY, problem_type="single_label_classification", **TINY_MODEL
    )


def trained(data, folder, resume=False, **options):
    """Weights and the last step of a training that learns nothing and so stops early."""
    model = model_of(1)
    settings = TrainingSettings(**{"epochs": 9, "documents_per_step": 4, "patience": 1, "save_steps": 2, **options})
    log = train_classifier(model, *data, settings, folder, resume, quiet=True, device="cpu")
    return model.state_dict(), max(entry["step"] for entry in log)


def same(left, right):
    return all(torch.equal(left[name], right[name]) for name in left.keys() | right.keys())


def steps_of(folder):
    return sorted(int(path.name.split("-")[1]) for path in folder.glob("checkpoint-*"))


@pytest.fixture
def data():
    return documents(12), documents(6)


def test_a_run_that_stopped_early_is_not_trained_further(data, tmp_path):
    weights, last = trained(data, tmp_path)
    assert last < 27, "early stopping was never due"
    assert epochs_if_stopped(newest_whole(tmp_path)) == last / 3
    again, step = trained(data, tmp_path, resume=True)
    assert step == last and same(again, weights)


def test_early_stopping_remembers_how_long_it_waited(data, tmp_path):
    weights, last = trained(data, tmp_path, patience=2)
    # Back to before the epoch that decided.
    for step in steps_of(tmp_path):
        if step > last - 3:
            shutil.rmtree(tmp_path / f"checkpoint-{step}")
    again, step = trained(data, tmp_path, resume=True, patience=2)
    assert step == last and same(again, weights)


def test_checkpoints_are_kept_few_and_whole(data, tmp_path):
    trained(data, tmp_path, epochs=3, patience=0)
    steps = steps_of(tmp_path)
    assert len(steps) <= 3 and steps[-2:] == [8, 9]
    for step in steps:
        check_checkpoint(tmp_path / f"checkpoint-{step}")
    names = json.loads((tmp_path / "checkpoint-9" / "checksums.json").read_text())["sha256"]
    assert {"model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"} <= names.keys()


def test_a_finished_run_can_be_given_more_epochs(data, tmp_path):
    trained(data, tmp_path, patience=0, epochs=2)
    assert epochs_if_stopped(newest_whole(tmp_path)) is None
    assert trained(data, tmp_path, resume=True, patience=0, epochs=3)[1] == 9


def test_a_lost_best_checkpoint_is_named_and_the_last_weights_are_kept(data, tmp_path):
    _, last = trained(data, tmp_path)
    best = tmp_path / f"checkpoint-{last - 3}"
    state = json.loads((tmp_path / f"checkpoint-{last}" / "trainer_state.json").read_text())
    assert state["best_model_checkpoint"] == str(best)
    weights = best / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    with pytest.warns(UserWarning, match="the best checkpoint is lost"):
        kept, _ = trained(data, tmp_path, resume=True)
    assert same(kept, load_file(tmp_path / f"checkpoint-{last}" / "model.safetensors"))


def test_a_gradient_that_is_not_finite_stops_the_training_before_it_is_taken(data, tmp_path):
    model = model_of(1)
    with torch.no_grad():
        model.get_input_embeddings().weight[30] = torch.inf
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for ids in data[0].token_ids:
        ids[0] = 30
    settings = TrainingSettings(epochs=1, documents_per_step=4)
    with pytest.raises(ValueError, match="the gradient of step 1 is not finite"):
        train_classifier(model, *data, settings, tmp_path, quiet=True, device="cpu")
    found = model.state_dict()
    assert all(torch.equal(found[name], value) for name, value in before.items() if "word_embed" not in name)
    assert not steps_of(tmp_path)


def test_a_model_alone_is_no_checkpoint(tmp_path):
    model_of(2).save_pretrained(tmp_path)
    check_sealed(tmp_path)
    with pytest.raises(ValueError, match=r"trainer_state\.json"):
        check_checkpoint(tmp_path)


def test_no_checkpoint_before_the_evaluation_of_an_epoch(tmp_path):
    asked, every = [], SaveEvery(2)
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to="none")
    for step in range(1, 13):
        control = TrainerControl()
        every.on_step_end(arguments, TrainerState(global_step=step, epoch=step / 4), control)
        asked += [step] if control.should_save else []
    assert asked == [2, 6, 10]
    with pytest.raises(ValueError, match="steps=0"):
        SaveEvery(0)
    with pytest.raises(ValueError, match="save_steps=-1"):
        TrainingSettings(save_steps=-1)


def first(stream, count):
    iterator = iter(stream)
    return [next(iterator) for _ in range(count)]


def test_a_stream_is_in_the_same_order_whenever_it_is_read():
    seed = torch.initial_seed() % 1000
    stream = EndlessDocuments(lambda: range(50), seed, buffer=20)
    read = first(stream, 150)
    assert read == first(EndlessDocuments(lambda: iter(range(50)), seed, buffer=20), 150)
    passes = [read[start : start + 50] for start in (0, 50, 100)]
    assert all(sorted(each) == list(range(50)) for each in passes)
    assert passes[0] != passes[1] != passes[2] and read != first(EndlessDocuments(lambda: range(50), seed + 1), 150)
    assert first(EndlessDocuments(lambda: range(5), buffer=1), 10) == [*range(5), *range(5)]


# A machine with one core says that two processes are many.
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_processes_that_load_share_a_stream():
    stream = EndlessDocuments(lambda: range(20), 3, buffer=7)
    loader = iter(DataLoader(stream, batch_size=None, num_workers=2))
    found = [next(loader) for _ in range(40)]
    assert found == first(stream, 40)


def test_a_stream_without_documents_is_refused():
    with pytest.raises(ValueError, match="gave none"):
        first(EndlessDocuments(list), 1)
    with pytest.raises(ValueError, match="buffer=0"):
        EndlessDocuments(list, buffer=0)
