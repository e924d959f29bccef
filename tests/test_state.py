"""Files of states: they come back bit for bit, and damage is refused."""

import pickle
import resource
import struct
import threading

import pytest
import torch
from safetensors.torch import load_file, save_file

import memenc.state
from benchmarks.reliability.mutations import SAFETENSORS, header_of, with_header
from memenc import MemoryState
from tests.memory.checks import assert_states_equal, build, tokens

MUTATIONS = 500


def small_state(documents=2):
    tensors = {
        "layers.0.keys": torch.randn(documents, 2, 3, 4),
        "layers.0.filled": torch.arange(documents),
        "document.tokens": torch.arange(documents) + 5,
        "document.maximum": torch.full((documents, 3), -torch.inf),
        "document.mean": torch.randn(documents, 3).to(torch.bfloat16),
        "current.ids": torch.randint(0, 9, (documents, 3)),
        "current.length": torch.arange(documents),
        "current.valid": torch.rand(documents, 3) < 0.5,
        "top.empty": torch.zeros(documents, 0, 2),
    }
    return MemoryState(tensors, "fingerprint of a model")


def test_a_saved_state_comes_back(tmp_path):
    for state in (small_state(), small_state(1), small_state(0), build().initial_memory(3)):
        state.save(tmp_path / "state")
        again = MemoryState.load(str(tmp_path / "state"))
        assert_states_equal(again, state)
        assert {n: t.dtype for n, t in again.tensors.items()} == {n: t.dtype for n, t in state.tensors.items()}
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_folders_on_the_way_are_made_and_documents_can_be_looped_over(tmp_path):
    state = small_state(3)
    for index, each in enumerate(state):
        each.save(tmp_path / "deep" / "er" / str(index))
    found = [MemoryState.load(tmp_path / "deep" / "er" / str(index)) for index in range(3)]
    assert_states_equal(MemoryState.cat(found), state)
    assert len(list(state)) == 3


def test_a_state_is_shown_by_its_sizes():
    state = small_state(1)
    shown = "1 document, 165 bytes in layers.0, document, current, top; fingerprint fingerprint of a model"
    assert repr(state) == f"MemoryState({shown})"
    assert repr(state.fork(12)) == f"MemoryState({shown.replace('1 document, 165', '12 documents, 1,980')})"


def test_gradients_and_views_are_no_obstacle(tmp_path):
    state = build()(tokens(3, 40)).memory
    assert any(tensor.requires_grad for tensor in state.tensors.values())
    shuffled = state.select([2, 0])
    shuffled.save(tmp_path / "state")
    assert_states_equal(MemoryState.load(tmp_path / "state"), shuffled.detach())


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        MemoryState.load(tmp_path / "nowhere")


@pytest.mark.parametrize("documents", (1, 2))
@pytest.mark.parametrize("damage", SAFETENSORS, ids=lambda damage: damage.__name__)
def test_damage_is_refused_or_harmless(damage, documents, tmp_path):
    state, path = small_state(documents), tmp_path / "state"
    state.save(path)
    whole = path.read_bytes()
    refused = 0
    for _ in range(MUTATIONS // len(SAFETENSORS)):
        changed = damage(whole)
        path.write_bytes(changed)
        try:
            again = MemoryState.load(path)
        except ValueError as error:
            assert str(path) in str(error)
            refused += 1
        else:
            assert_states_equal(again, state)
    assert refused > 0


def test_an_unchanged_header_is_not_mistaken_for_damage(tmp_path):
    state, path = small_state(), tmp_path / "state"
    state.save(path)
    path.write_bytes(with_header(*header_of(path.read_bytes())))
    assert_states_equal(MemoryState.load(path), state)


PICKLE = pickle.dumps({"document.tokens": [1, 2]})


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "state"
    contents = {
        "nothing": b"",
        "text": b"once upon a time",
        "pickle": PICKLE,
        "pickle behind a length": struct.pack("<Q", len(PICKLE)) + PICKLE,
        "a header that never ends": struct.pack("<Q", 2**62) + b"{}",
    }
    for name, content in contents.items():
        path.write_bytes(content)
        with pytest.raises(ValueError, match="state"):
            MemoryState.load(path)
        assert path.read_bytes() == content, name
    torch.save({"document.tokens": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="state"):
        MemoryState.load(path)
    save_file({"document.tokens": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="format None"):
        MemoryState.load(path)


def test_another_version_is_refused_by_number(tmp_path, monkeypatch):
    monkeypatch.setattr(memenc.state, "VERSION", 7)
    small_state().save(tmp_path / "state")
    monkeypatch.undo()
    with pytest.raises(ValueError, match="version '7'"):
        MemoryState.load(tmp_path / "state")


def test_a_full_disk_keeps_the_old_file(tmp_path):
    path, old = tmp_path / "state", small_state()
    old.save(path)
    large = MemoryState({"document.tokens": torch.zeros(1, 100_000)}, "x")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(Exception, match=r"(?i)file too large|i/o|space|io"):
            large.save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert_states_equal(MemoryState.load(path), old)
    assert [found.name for found in tmp_path.iterdir()] == ["state"]


def test_an_interrupted_save_keeps_the_old_file(tmp_path, monkeypatch):
    path, old = tmp_path / "state", small_state()
    old.save(path)

    def interrupted(tensors, file, metadata):
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(memenc.state, "save_file", interrupted)
    with pytest.raises(OSError, match="No space left"):
        small_state().save(path)
    assert_states_equal(MemoryState.load(path), old)
    assert [found.name for found in tmp_path.iterdir()] == ["state"]


def test_two_threads_may_save_to_one_place(tmp_path):
    states, failures = [small_state() for _ in range(4)], []

    def save_often(state):
        try:
            for _ in range(20):
                state.save(tmp_path / "state")
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=save_often, args=[state]) for state in states]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    loaded = MemoryState.load(tmp_path / "state")
    assert any(torch.equal(loaded.tensors["layers.0.keys"], state.tensors["layers.0.keys"]) for state in states)
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_the_file_is_plain_safetensors(tmp_path):
    state = small_state()
    state.save(tmp_path / "state")
    found = load_file(tmp_path / "state")
    assert found.keys() == state.tensors.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in state.tensors.items())
