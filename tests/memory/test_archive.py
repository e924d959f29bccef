"""The archive of `nearest`: appended to in place, on disk, forked, searched by faiss."""

import sys
import threading

import pytest
import torch

from memenc.memory import LayerSizes, Segment, build_memory
from memenc.memory.parts import room
from memenc.memory.parts.room import ROOMS, append_in_place
from memenc.memory.parts.search import nearest_entries
from tests.memory.checks import CAPACITY, assert_close, assert_states_close, build, documents_of, feed, ragged, tokens
from tests.memory.designs import Design

SIZES = LayerSizes(4, 2, 8, 16)


def segment(batch=2):
    return Segment(torch.randn(batch, 4, 16, 8), torch.randn(batch, 2, 16, 8), torch.randn(batch, 2, 16, 8))


@pytest.mark.parametrize("store", ("memory", "disk"))
@torch.no_grad()
def test_reading_on_appends_in_place(store):
    memory = build_memory("nearest", SIZES, {"store": store})
    read = [segment() for _ in range(9)]
    states = [memory.initial_state(2, read[0].keys)]
    for each in read:
        states.append(memory.write(states[-1], each))
    for count, state in enumerate(states[1:], 1):
        assert torch.equal(state["keys"], torch.cat([each.keys for each in read[:count]], 2))
        assert torch.equal(state["values"], torch.cat([each.values for each in read[:count]], 2))
    places = {state["keys"].data_ptr() for state in states[1:]}
    assert len(places) <= 4, "every write moves the archive"
    on_disk = states[-1]["keys"].untyped_storage().filename
    assert (on_disk is not None) == (store == "disk")


@pytest.mark.parametrize("store", ("memory", "disk"))
@torch.no_grad()
def test_forks_do_not_write_into_each_other(store):
    memory = build_memory("nearest", SIZES, {"store": store})
    first, left, right = segment(), segment(), segment()
    start = memory.write(memory.initial_state(2, first.keys), first)
    one, other = memory.write(start, left), memory.write(start, right)
    again = memory.write(start, left)
    for state, last in ((one, left), (other, right), (again, left)):
        assert torch.equal(state["keys"], torch.cat([first.keys, last.keys], 2))
    assert torch.equal(start["keys"], first.keys)


@torch.no_grad()
def test_rooms_vanish_with_their_archives():
    memory, before = build_memory("nearest", SIZES, {}), len(ROOMS)
    state = memory.write(memory.initial_state(2, torch.zeros(1)), segment())
    assert len(ROOMS) > before
    del state
    assert len(ROOMS) == before


@pytest.mark.parametrize("options", ({"store": "disk"}, {"search": "faiss"}, {"search": "faiss", "entries": 24}))
@torch.no_grad()
def test_other_archives_read_the_same(options, tmp_path):
    # More than there are: of two entries that fit alike, libraries round to either. Which are found is tested below.
    model = build(Design("nearest", {"nearest": 200, **options}))
    plain = build(Design("nearest", {"nearest": 200, "entries": options.get("entries")}))
    plain.load_state_dict(model.state_dict())
    documents = documents_of(5 * CAPACITY + 3, 2 * CAPACITY, 0, 3 * CAPACITY)
    wanted, got = plain(*ragged(documents)), None
    got = model(*ragged(documents))
    assert_close(got.pooler_output, wanted.pooler_output, 1e-5)
    vector, _ = feed(model, [[d[:20], d[20:]] for d in documents], tmp_path / "state.safetensors")
    assert_close(vector, wanted.pooler_output, 1e-5)


def test_faiss_finds_the_nearest():
    queries, keys = torch.randn(2, 2, 7, 8), torch.randn(2, 2, 90, 8)
    valid = torch.arange(90) >= torch.tensor([[3], [40]])
    (wanted, _), (found, values) = (nearest_entries(queries, keys, keys, valid, 5, how) for how in ("torch", "faiss"))
    assert_close(found.sort(-1).values, wanted.sort(-1).values, 1e-5)
    assert_close((queries[:, :, :, None] * values).sum(-1), found, 1e-5)


def test_training_through_an_archive_on_disk_keeps_its_gradient():
    model = build(Design("nearest", {"nearest": 5, "store": "disk"}), dtype=torch.float64).train()
    plain = build(Design("nearest", {"nearest": 5}), dtype=torch.float64).train()
    plain.load_state_dict(model.state_dict())
    ids = tokens(1, 4 * CAPACITY)
    found = []
    for each in (model, plain):
        each.zero_grad()
        output = each(ids)
        output.pooler_output.sum().backward()
        found.append((each.get_input_embeddings().weight.grad, output.memory.tensors["top.keys"]))
    assert torch.equal(found[0][0], found[1][0]) and torch.equal(found[0][1], found[1][1])


def test_states_with_archives_of_different_length_are_put_together():
    model = build("nearest_gate", dtype=torch.float64)
    short, long = (model(tokens(1, count * CAPACITY)).memory for count in (1, 4))
    both = type(short).cat([short, long])
    rest = tokens(2, CAPACITY + 2)
    together = model(rest, memory=both)
    for index, alone in enumerate((short, long)):
        wanted = model(rest[index : index + 1], memory=alone)
        assert_close(together.pooler_output[index : index + 1], wanted.pooler_output, 1e-12)
        assert_states_close(together.memory.select([index]), wanted.memory, 1e-12)


@pytest.mark.parametrize(
    ("name", "options", "archive"),
    (
        ("nearest", {"nearest": 4}, "layers.0.keys"),
        ("summary", {"tokens": 2}, "top.tokens"),
    ),
)
@torch.no_grad()
def test_an_archive_has_room_for_the_longest_document_and_not_for_the_sum(name, options, archive):
    model, memory = build(Design(name, options)), None
    for step in range(24):
        ids = tokens(8, CAPACITY)
        mask = torch.zeros_like(ids)
        mask[step % 8] = 1
        memory = model(ids, mask, memory=memory, output_token_states=False).memory
    # Three segments of each of eight documents, and one that whoever has three already would have brought.
    alone = model(tokens(1, 3 * CAPACITY), output_token_states=False).memory.tensors[archive].shape[2]
    assert alone <= memory.tensors[archive].shape[2] <= 4 * alone // 3


@pytest.mark.parametrize("bptt_segments", (None, 1))
@torch.no_grad()
def test_a_horizon_of_the_gradient_moves_no_archive_where_there_is_none(bptt_segments, monkeypatch):
    model, allocated = build(Design("nearest", {"nearest": 4}), bptt_segments=bptt_segments), []
    monkeypatch.setattr(room, "_allocate", lambda *what: allocated.append(what[0]) or torch.zeros(what[0]))
    first = model(tokens(1, 32 * CAPACITY), output_token_states=False).memory
    model(tokens(1, CAPACITY), memory=first.detach(), output_token_states=False)
    assert len(allocated) <= 2 * 3 * 6, "each archive doubles its room"


def test_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ValueError, match=r"memenc\[faiss\]"):
        build_memory("nearest", SIZES, {"search": "faiss"})


def test_threads_that_read_on_from_one_archive_have_their_own_entries():
    barrier, found, archives = threading.Barrier(2), {}, []

    def read_on(number):
        new = torch.full((1, 12, 512, 64), float(number))
        barrier.wait()
        found[number] = append_in_place(archives[-1], new, "memory")

    for _ in range(30):
        # As much room is behind an archive as it has entries.
        archives.append(append_in_place(torch.zeros(1, 12, 1_023, 64), torch.zeros(1, 12, 1, 64), "memory"))
        threads = [threading.Thread(target=read_on, args=(number,)) for number in (1, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for number in (1, 2):
            assert bool((found[number][:, :, 1_024:] == number).all()) and found[number].shape[2] == 1_536
        archives.clear()


def test_an_archive_of_inference_mode_is_read_on_outside_of_it():
    memory = torch.zeros(1, 2, 4, 8)
    with torch.inference_mode():
        inside = append_in_place(memory, torch.ones(1, 2, 3, 8), "memory")
    with torch.no_grad():
        outside = append_in_place(inside, torch.full((1, 2, 3, 8), 2.0), "memory")
    assert outside[0, 0, :, 0].tolist() == [0.0] * 4 + [1.0] * 3 + [2.0] * 3
