"""The callback warns of a memory that contributes nothing, once, and is silent about one that lives."""

import warnings

import pytest
import torch
from torch import nn
from transformers import Trainer, TrainingArguments

from memenc import MemencForSequenceClassification
from memenc.diagnostics import LivenessCallback
from memenc.training.documents import TokenizedDocuments
from memenc.training.run import train_classifier
from memenc.training.settings import TrainingSettings
from tests.diagnostics.living import WINDOW
from tests.memory.checks import CAPACITY, build, tokens


class Documents(torch.utils.data.Dataset):
    """Random documents of four segments."""

    def __init__(self):
        self.ids, self.labels = tokens(8, 4 * CAPACITY), torch.randint(2, (8,))

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        return {"input_ids": self.ids[index], "labels": self.labels[index]}


def train(model, callback, folder):
    arguments = TrainingArguments(
        str(folder), max_steps=4, per_device_train_batch_size=2, logging_steps=1, learning_rate=1e-4, use_cpu=True,
        report_to="none", save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    Trainer(model, arguments, train_dataset=Documents(), callbacks=[callback]).train()


def classifier(bias):
    model = build(WINDOW, lively=False, model_class=MemencForSequenceClassification, num_labels=2)
    with torch.no_grad():
        for memory in model.memenc.encoder.memories:
            nn.init.constant_(memory.window_bias, bias)
    return model


def test_the_callback_warns_once_of_a_dead_memory(tmp_path):
    callback = LivenessCallback(tokens(2, 3 * CAPACITY))
    with pytest.warns(UserWarning, match="'windowed' memory contributes nothing at step 2") as caught:
        train(classifier(-20.0), callback, tmp_path)
    assert len([warning for warning in caught if "contributes nothing" in str(warning.message)]) == 1
    assert [step for step, _ in callback.effects][:4] == [1, 2, 3, 4] and callback.effects[-1][1] < 1e-6


def test_the_callback_is_silent_about_a_living_memory(tmp_path):
    callback = LivenessCallback(tokens(2, 3 * CAPACITY), every=2)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*contributes nothing")
        train(classifier(0.0), callback, tmp_path)
    assert [step for step, _ in callback.effects][:2] == [2, 4]
    assert all(effect > 1e-3 for _, effect in callback.effects)


def test_measuring_changes_nothing_in_training(tmp_path):
    finals = []
    for callback in (LivenessCallback(tokens(2, 3 * CAPACITY)), LivenessCallback(tokens(2, 3 * CAPACITY), every=100)):
        torch.manual_seed(0)
        model = classifier(0.0)
        train(model, callback, tmp_path)
        finals.append(model.state_dict())
    assert all(torch.equal(tensor, finals[1][name]) for name, tensor in finals[0].items())


def test_the_callback_refuses_short_documents_before_training(tmp_path):
    with pytest.raises(ValueError, match="two segments"):
        train(classifier(0.0), LivenessCallback(tokens(2, CAPACITY)), tmp_path)
    for name in ("every", "patience"):
        with pytest.raises(ValueError, match=f"{name}=0"):
            LivenessCallback(tokens(2, CAPACITY), **{name: 0})


def test_training_documents_are_watched_if_they_are_long_enough():
    model = classifier(0.0)
    lengths = (CAPACITY, 2 * CAPACITY, 3 * CAPACITY + 1, 9 * CAPACITY)
    documents = [tokens(length).numpy().astype("int32") for length in lengths]
    (callback,) = LivenessCallback.watching(model, documents)
    assert callback.input_ids.shape == (3, 2 * CAPACITY)
    assert callback.input_ids[2].tolist() == documents[3][: 2 * CAPACITY].tolist()
    assert LivenessCallback.watching(model, documents[:1]) == []
    assert LivenessCallback.watching(build("none"), documents) == []


def test_warns_while_a_classifier_trains(monkeypatch):
    monkeypatch.setattr("memenc.diagnostics.liveness_callback.LOGS_BETWEEN", 1)
    documents, labels = training_documents(8, 3 * CAPACITY), [0, 1] * 4
    settings = TrainingSettings(epochs=6, documents_per_step=1, learning_rate=1e-6, gate_learning_rate=1e-6)
    model = classifier(-20.0)
    watching = LivenessCallback.watching(model, documents)
    told = TokenizedDocuments(documents, labels)
    with pytest.warns(UserWarning, match="contributes nothing") as caught:
        train_classifier(model, told, None, settings, quiet=True, device="cpu", callbacks=watching)
    assert len([warning for warning in caught if "contributes nothing" in str(warning.message)]) == 1
    effects = [effect for _, effect in watching[0].effects]
    assert len(effects) >= watching[0].patience and max(effects) < watching[0].threshold


def training_documents(count, length):
    return [tokens(length).numpy().astype("int32") for _ in range(count)]
