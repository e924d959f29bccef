"""Probing finds what is known of memories: what a window holds, what is not written, what is kept and not read."""

import pytest
import torch

from memenc.diagnostics import capacity, depth_map, fact_loss, long_reading, retention
from memenc.diagnostics.probing.capacity import Capacity
from memenc.diagnostics.probing.contributions import contributions
from memenc.diagnostics.probing.endings import endings
from memenc.diagnostics.probing.fact_loss import (
    FORGOTTEN,
    OWN_ANSWER,
    READ,
    UNKNOWN,
    UNREAD,
    UNWRITTEN,
    VECTOR_PROBE,
    verdict,
)
from memenc.diagnostics.probing.facts import Facts
from memenc.diagnostics.probing.linear_probe import Score, probe_right
from memenc.memory import LayerMemory
from memenc.memory.windowed import WindowedMemory
from tests.diagnostics.probed import classifier, plain_facts
from tests.memory.checks import CAPACITY, build, tokens


def shares(found):
    return {part.name: part.state.mean for part in found.parts}


@pytest.mark.parametrize(("design", "window"), [("windowed_above_segment", 37), ("windowed_one_segment", 16)])
def test_a_window_keeps_a_segment_until_it_has_passed(design, window):
    found = shares(retention(build(design), tokens(3, 4 * CAPACITY), segments=5))
    # Special tokens are written too; over the top there is the same window.
    gone = -(-window // (CAPACITY + 2))
    for name in ("layer 0", "layer 1", "top"):
        # What stands in a window stands there whole until it has left.
        whole = window // (CAPACITY + 2)
        assert found[name][:whole] == pytest.approx([1] * whole)
        assert all(share > 0 for share in found[name][:gone])
        assert all(share == 0 for share in found[name][gone:])
    assert all(share > 0 for share in found["document"])


def test_a_sum_keeps_everything_and_it_weighs_ever_less():
    found = retention(build("linear"), tokens(3, 4 * CAPACITY), segments=6)
    linear = next(part for part in found.parts if part.name == "layer 0")
    assert linear.state.mean == pytest.approx([1] * 7)
    weight = linear.weight.mean
    assert weight[0] == 1 and 0.05 < weight[6] < weight[3] < weight[1] < 1
    assert "100% of it is left and weighs" in found.sentences()[0]


def test_the_document_memory_is_followed_as_it_is_read():
    document = shares(retention(build("none"), tokens(3, 4 * CAPACITY), segments=7))["document"]
    # Of a mean over n segments each is an n-th; what attention and maximum take from it is less regular.
    assert document[0] == 1 and 0.05 < document[7] < 0.8


def test_what_comes_out_changes_as_long_as_something_is_held():
    found = retention(build("windowed_one_segment"), tokens(3, 4 * CAPACITY), segments=3)
    layer = next(part for part in found.parts if part.name == "layer 1")
    # The upper of two layers hands nothing on, so with its window its influence on token states has passed.
    assert layer.tokens.mean[0] > 0 and layer.tokens.mean[1] == 0
    assert layer.vector.mean[0] == 0 < layer.vector.mean[1]
    assert "nothing left after 1 more segments" in found.sentences()[1]


def test_retention_refuses_what_it_cannot_measure():
    model = build("windowed_one_segment")
    with pytest.raises(ValueError, match="two segments"):
        retention(model, tokens(2, 2 * CAPACITY - 1))
    with pytest.raises(ValueError, match="give documents that differ"):
        retention(model, tokens(1, CAPACITY).repeat(2, 3))
    with pytest.raises(ValueError, match="segments=0"):
        retention(model, tokens(2, 4 * CAPACITY), segments=0)


def test_depths_that_are_one_place_have_one_score():
    found = depth_map(classifier(), tokens(4, 8, CAPACITY), plain_facts(), (2, 5), count=6)
    short, long = zip(*found.scores, strict=True)
    assert len(found.depths) == 5 and short[0] == short[1] == short[2] and short[3] == short[4]
    assert short[0].error < long[0].error or short[0].mean != long[0].mean


def test_kept_but_not_read():
    model = classifier()
    with torch.no_grad():
        model.classifier.weight.zero_()
    found = fact_loss(model, tokens(2, 3, CAPACITY), plain_facts(), (0,), count=30)
    assert found.reader == OWN_ANSWER and found.written.mean == 1
    assert found.at[0].read.mean == 0.5 and found.at[0].verdict == UNREAD


def test_lost_when_written(monkeypatch):
    model = build("windowed_one_segment")
    monkeypatch.setattr(WindowedMemory, "scan", LayerMemory.scan)
    monkeypatch.setattr(WindowedMemory, "write", lambda memory, state, segment: state)
    monkeypatch.setattr(model.encoder.document_memory, "take_in", lambda state, *rest: state)
    found = fact_loss(model, tokens(2, 3, CAPACITY), plain_facts(), (0, 1), count=30)
    assert found.reader == VECTOR_PROBE
    assert [at.verdict for at in found.at] == [UNWRITTEN, UNWRITTEN]
    assert all(score.mean < 0.85 for score in found.at[0].parts.values())


def test_forgotten_on_the_way(monkeypatch):
    model = build("windowed_one_segment")
    monkeypatch.setattr(model.encoder.document_memory, "take_in", lambda state, *rest: state)
    found = fact_loss(model, tokens(20, 8, CAPACITY), plain_facts(), (0, 4), count=60)
    assert found.at[0].parts["layer 0"].mean == 1
    assert found.at[1].verdict == FORGOTTEN and found.forgotten_after == 4
    assert "gone after 4 segments" in found.sentences()[-1]


def test_the_largest_loss_is_named_if_it_is_no_chance():
    sure, half, unsure = Score(0.95, 0.01), Score(0.5, 0.02), Score(0.9, 0.3)
    all_of_it = Score(1.0, 0.01)
    assert verdict(all_of_it, all_of_it, sure, half, 0.5) == UNREAD
    assert verdict(all_of_it, all_of_it, half, half, 0.5) == FORGOTTEN
    assert verdict(all_of_it, half, half, half, 0.5) == UNWRITTEN
    assert verdict(sure, sure, sure, sure, 0.5) == READ
    # What is read was kept, also where the probe is too weak to find it.
    assert verdict(half, half, half, all_of_it, 0.5) == READ
    # What the probe does not find in the words themselves was not lost by a memory.
    assert verdict(half, half, half, half, 0.5) == verdict(unsure, unsure, unsure, unsure, 0.5) == UNKNOWN


def test_facts_that_no_linear_probe_can_find_are_not_called_lost():
    # Which of two tokens comes first is in no count of them.
    turns = (torch.tensor([10, 11]), torch.tensor([11, 10]))
    facts = Facts(turns, (0, 1), ("approved", "rejected"))
    # Filler that tells documents apart would let the folds of so few guess worse than by chance.
    filler = torch.full((4, 8, CAPACITY), 20)
    found = fact_loss(build("windowed_one_segment"), filler, facts, (0, 1), count=60)
    assert found.findable.mean == 0.5
    assert all(at.verdict != UNWRITTEN for at in found.at)


def test_a_linear_probe_finds_what_is_there_and_nothing_else():
    labels = [index % 2 for index in range(60)]
    noise = torch.randn(60, 200)
    told = noise.clone()
    told[:, 7] += 20 * torch.tensor(labels)
    assert probe_right(told[:, :20], labels).mean() > 0.9
    assert abs(probe_right(noise, labels).mean() - 0.5) < 0.4
    assert probe_right(torch.ones(60, 3), labels).mean() <= 0.5
    with pytest.raises(ValueError, match="5 documents of every class"):
        probe_right(noise[:8], labels[:8])


def test_a_window_has_room_for_the_facts_in_it():
    model = build("windowed_one_segment")
    ids = tuple(torch.full((CAPACITY,), 10 + index) for index in range(16))
    facts = Facts(ids, tuple(index % 2 for index in range(16)), ("a", "b"))
    found = capacity(model, tokens(2, 3, CAPACITY), facts, (1, 4), count=40)
    one, four = found.held["layer 0"]
    # One of four segments is in the window; the document memory has seen them all.
    assert one < 0.8 and four < 2.5 and four < found.held["document"][1]
    with pytest.raises(ValueError, match="need 18"):
        capacity(model, tokens(2, 3, CAPACITY), facts, (9,))


def test_depth_map_of_a_reader_that_sees_the_last_segment_only():
    model = build("windowed_one_segment", readout="last")
    found = depth_map(model, tokens(2, 3, CAPACITY), plain_facts(), (6,), (0.0, 1.0), count=40)
    first, last = (row[0].mean for row in found.scores)
    assert last - first > 0.1
    with pytest.raises(ValueError, match="depths"):
        depth_map(model, tokens(2, 3, CAPACITY), plain_facts(), (4,), (1.5,))


def test_norms_of_a_sum_grow_and_those_of_a_window_do_not():
    for design, low, high in (("linear", 8, 18), ("windowed_one_segment", 0.8, 1.2)):
        found = long_reading(build(design), tokens(2, 3, CAPACITY), 16)
        assert found.segments == (1, 2, 4, 8, 16)
        layer = found.parts[0]
        assert low < layer.norms[-1] / layer.norms[0] < high
        assert layer.moved[0] == 0 < layer.moved[1]
        assert (layer.distinct is None) == (design == "linear")


def test_the_number_of_segments_read_at_once_does_not_matter(monkeypatch):
    model, documents = build("gated_ema"), tokens(2, 3, CAPACITY)
    together = long_reading(model, documents, 4)
    monkeypatch.setattr("memenc.diagnostics.probing.reading.TOKENS_PER_CALL", 1)
    alone = long_reading(model, documents, 4)
    assert together.vector == pytest.approx(alone.vector, rel=1e-4)


def test_gradient_is_the_first_order_of_the_knockout():
    # The last write changes the state and nothing else, and a mean is linear in it: the first order is all there is.
    found = contributions(classifier("linear", readout="mean").double(), tokens(5, CAPACITY))
    assert found.measure.startswith("margin of") and len(found.knockout) == len(found.gradient) == 5
    assert found.gradient[-1] == pytest.approx(found.knockout[-1], abs=1e-3 * max(map(abs, found.knockout)))
    model = classifier("linear")
    with pytest.raises(ValueError, match="at least two"):
        contributions(model, tokens(1, CAPACITY))


def test_endings_read_whole_documents_last():
    model = classifier()
    documents = [tokens(length).numpy() for length in (CAPACITY, 5 * CAPACITY + 1)]
    found = endings(model, documents, [0, 1])
    assert found.segments == (1, 2, 4, 6) and found.documents == 2 and found.guessing == 0.5
    with pytest.raises(ValueError, match="one label"):
        endings(model, documents, [0])


def test_facts_that_cannot_be_told_apart_are_refused():
    same = (torch.tensor([1, 1]), torch.tensor([1, 1]))
    with pytest.raises(ValueError, match="same tokens"):
        Facts(same, (0, 1), ("a", "b"))
    with pytest.raises(ValueError, match="at least two classes"):
        Facts(same[:1], (0,), ("a",))
    with pytest.raises(ValueError, match="room for 5 tokens"):
        plain_facts().fitting(5)
    with pytest.raises(ValueError, match="from 0"):
        fact_loss(build("linear"), tokens(2, 3, CAPACITY), plain_facts(), (1, 2))


def test_equal_documents_do_not_hide_what_others_show():
    documents = tokens(4, 4 * CAPACITY)
    documents[1] = documents[0]
    alone = shares(retention(build("windowed_one_segment"), documents, segments=2))
    assert alone["layer 0"][0] == pytest.approx(1)
    # The segment that is followed is the same in three of four documents: each is compared with one that differs.
    documents[:3, CAPACITY : 2 * CAPACITY] = documents[3, CAPACITY : 2 * CAPACITY]
    assert shares(retention(build("windowed_one_segment"), documents, segments=2))["layer 0"][0] == pytest.approx(1)
    with pytest.raises(ValueError, match="all segments of these documents are the same"):
        retention(build("none"), tokens(1, CAPACITY).repeat(2, 3), segments=2)


def test_facts_that_are_guessed_are_not_held():
    guessed = Capacity(
        32, 8, (1, 8), {"all": (Score(0.55, 0.06), Score(0.55, 0.03)), "vector": (Score(1.0, 0.02),) * 2}
    )
    assert guessed.held == {"all": (0.0, 0.0), "vector": (1.0, 8.0)}


def test_no_class_of_facts_comes_more_often_than_others():
    ids = tuple(torch.full((4,), 10 + index) for index in range(4))
    facts, counts = Facts(ids, (0, 1, 2, 3), ("a", "b", "c", "d")), torch.zeros(4)
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        _, labels = facts.drawn(6, generator)
        counts += torch.bincount(torch.tensor(labels), minlength=4)
    assert counts.sum() == 1200 and (counts / 1200 - 0.25).abs().max() < 0.03
