"""Faults that were found in published memories, planted one by one: liveness names each of them.

Those of the gradient horizon and of places are in `test_horizon_faults.py`. What one model does not show is planted
beside the test that notices: keys at wrong places in `tests/memory/test_contract_places.py`, a replay that forgets in
`tests/memory/test_checkpointing.py`, labels that are overwritten in `tests/tasks/test_sequence_classification.py`.
"""

import json
from dataclasses import replace

import pytest
import torch

from memenc.backbones.attention import GroupContext
from memenc.memory import LayerMemory
from memenc.memory.compressive import CompressiveMemory
from memenc.memory.gated import GatedMemory
from memenc.memory.linear import LinearMemory
from memenc.memory.nearest import NearestMemory
from memenc.memory.windowed import WindowedMemory
from tests.diagnostics.living import GATED, LINEAR, SEGMENTS, WINDOW, examine, plant, told
from tests.memory.checks import build
from tests.memory.designs import Design


@pytest.mark.parametrize("logit", (10.0, -10.0))
def test_saturated_gate(logit):
    model = build(LINEAR)
    with torch.no_grad():
        model.encoder.memories[0].gate_logits.fill_(logit)
    found = examine(model)
    assert told(found, "memories.0.gate_logits", "saturated", f"{logit:.1f}") and not told(found, "memories.1.gate")
    gate = next(gate for gate in found.gates if gate.name == "memories.0.gate_logits")
    assert gate.saturated == 1.0 and gate.opening == pytest.approx(torch.tensor(logit).sigmoid().item())


@pytest.mark.parametrize(("design", "kind"), [(WINDOW, WindowedMemory), (LINEAR, LinearMemory)])
def test_detached_state(monkeypatch, design, kind):
    plant(monkeypatch, kind, lambda memory, state, after: {name: x.detach() for name, x in after.items()})
    found = examine(build(design))
    assert told(found, "layer 0", "no gradient") and told(found, "layer 1", "no gradient")
    assert told(found, "No gradient reaches the segment before") and found.reach == (0.0,) * (SEGMENTS - 1)
    assert not told(found, "no effect") and found.effect.tokens > 1e-3


def test_state_detached_in_one_layer(monkeypatch):
    model = build(WINDOW)
    wrong = model.encoder.memories[1]
    plant(
        monkeypatch,
        WindowedMemory,
        lambda memory, state, after: {n: x.detach() for n, x in after.items()} if memory is wrong else after,
    )
    found = examine(model)
    assert told(found, "layer 1", "no gradient") and not told(found, "layer 0") and found.reach[0] > 0


def test_gradient_cut_between_segments(monkeypatch):
    write = GatedMemory.write

    def cut(memory, state, segment):
        return write(memory, {name: x.detach() for name, x in state.items()}, segment)

    monkeypatch.setattr(GatedMemory, "write", cut)
    found = examine(build(GATED))
    assert told(found, "layer 0", "cuts the gradient") and told(found, "layer 1", "cuts the gradient")
    assert all(place.carried > 0 and place.gradient_carried == 0 for place in found.places) and found.reach[0] > 0


@pytest.mark.parametrize(("design", "kind"), [(GATED, GatedMemory), (LINEAR, LinearMemory)])
def test_state_recomputed_from_the_initial_one(monkeypatch, design, kind):
    write, scan = kind.write, kind.scan

    def fresh(memory, state):
        like = next(x for x in state.values() if x.is_floating_point())
        return memory.initial_state(len(like), like)

    def along(memory, state, segments, plan):
        whole = plan.written[0] == "all"
        after = scan(memory, fresh(memory, state), segments, plan).state if whole else None
        scanned = scan(memory, state, segments, plan)
        return replace(scanned, state=after) if whole else scanned

    monkeypatch.setattr(kind, "write", lambda self, state, segment: write(self, fresh(self, state), segment))
    if kind is LinearMemory:
        monkeypatch.setattr(kind, "scan", along)
    found = examine(build(design))
    for name in ("layer 0", "layer 1", "top"):
        assert told(found, name, "forgets everything")
    assert found.places[0].carried == 0 and not told(found, "no effect")


def test_padding_that_is_written(monkeypatch):
    monkeypatch.setattr(WindowedMemory, "scan", LayerMemory.scan)
    monkeypatch.setattr("memenc.memory.parts.scan.keep_where", lambda written, after, before: after)
    found = examine(build(WINDOW))
    assert {"layers.0.keys", "layers.1.values", "top.keys"} <= set(found.padding)
    assert told(found, "Padding is written", "layers.0.keys")


def test_unfinished_segments_that_are_written(monkeypatch):
    def always(memory, state, segments, plan):
        return scan(memory, state, segments, replace(plan, written=("all",) * segments.count))

    scan = GatedMemory.scan
    monkeypatch.setattr(GatedMemory, "scan", always)
    assert told(examine(build(GATED)), "Padding is written", "layers.0.keys")


def test_padding_that_counts_in_a_normaliser(monkeypatch):
    scan = LinearMemory.scan

    def always(memory, state, segments, plan):
        return scan(memory, state, segments, replace(plan, complete=torch.ones_like(plan.complete)))

    monkeypatch.setattr(LinearMemory, "scan", always)
    assert told(examine(build(LINEAR)), "Padding is written", "layers.0.normaliser")


def test_state_shared_between_layers(monkeypatch):
    attend = GroupContext.attend

    def shared(context, call):
        output = attend(context, call)
        context.new_states[-1] = context.new_states[0]
        return output

    monkeypatch.setattr(GroupContext, "attend", shared)
    found = examine(build(WINDOW))
    assert found.shared == (("layer 0", "layer 1"),)
    assert told(found, "layer 0 and layer 1", "same state")


def test_every_layer_reads_the_first_layers_state(monkeypatch):
    attend = GroupContext.attend

    def first(context, call):
        own, layer = list(context.states), len(context.new_states)
        context.states[layer] = context.states[0]
        output = attend(context, call)
        context.states[:] = own
        return output

    monkeypatch.setattr(GroupContext, "attend", first)
    found = examine(build(WINDOW))
    assert told(found, "layer 1", "no effect") and not told(found, "layer 0", "no effect")


@pytest.mark.parametrize("design", (WINDOW, GATED))
def test_nan_in_the_state(monkeypatch, design):
    kind = {WINDOW: WindowedMemory, GATED: GatedMemory}[design]
    plant(monkeypatch, kind, lambda memory, state, after: {**after, "values": after["values"] / 0})
    found = examine(build(design))
    assert {"layers.0.values", "layers.1.values", "last_hidden_state"} <= set(found.non_finite)
    assert told(found, "NaN or infinity", "layers.0.values")
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["problems"]


@pytest.mark.parametrize(("design", "kind"), [(WINDOW, WindowedMemory), ("nearest_gate", NearestMemory)])
def test_memory_that_is_never_written(monkeypatch, design, kind):
    plant(monkeypatch, kind, lambda memory, state, after: state)
    found = examine(build(design))
    for name in ("layer 0", "layer 1", "top"):
        assert told(found, name, "never written") and not told(found, name, "no effect")
    assert told(found, "memory does nothing") and found.effect.tokens == 0


def test_infinity_in_a_normaliser(monkeypatch):
    plant(monkeypatch, LinearMemory, lambda m, state, after: {**after, "normaliser": after["normaliser"] * torch.inf})
    assert told(examine(build(LINEAR)), "NaN or infinity", "layers.0.normaliser", "float32")


def test_memory_that_writes_the_same_for_every_document(monkeypatch):
    def constant(memory, state, after):
        line = torch.linspace(-1, 1, after["keys"][0].numel(), dtype=after["keys"].dtype)
        return {**after, **{name: line.view_as(after[name][0]).expand_as(after[name]) for name in ("keys", "values")}}

    plant(monkeypatch, WindowedMemory, constant)
    found = examine(build(WINDOW))
    assert told(found, "layer 0", "nothing of the document") and not told(found, "layer 0", "no effect")


def test_parameter_without_gradient(monkeypatch):
    monkeypatch.setattr(
        WindowedMemory, "bias", lambda memory: memory.window_bias.detach()[:, None].expand(-1, memory.window)
    )
    found = examine(build(WINDOW))
    assert told(found, "No gradient reaches", "memories.0.window_bias", "memories.1.window_bias")


def test_frozen_parameters_are_not_dead():
    model = build(WINDOW)
    model.encoder.memories.requires_grad_(False)
    found = examine(model)
    assert found.frozen == ("memories.0.window_bias", "memories.1.window_bias") and found.problems() == []


@pytest.mark.parametrize("factor", (1.5, 1.1))
def test_state_whose_norm_explodes(monkeypatch, factor):
    plant(monkeypatch, LinearMemory, lambda memory, state, after: {**after, "matrix": factor * after["matrix"]})
    found = examine(build(LINEAR))
    for name in ("layer 0", "layer 1", "top"):
        assert told(found, f"state of {name} explodes")
    norms = found.places[0].norms["matrix"]
    assert norms[-1] / norms[0] > factor**55
    assert len(norms) == len(found.long_reading) and found.long_reading[-1] == SEGMENTS + 64


def test_slots_that_all_become_equal(monkeypatch):
    def mean(memory, state, after):
        return {**after, "keys": after["keys"].mean(2, keepdim=True).expand_as(after["keys"])}

    plant(monkeypatch, GatedMemory, mean)
    found = examine(build(GATED))
    assert told(found, "entries of layer 0", "all the same") and told(found, "entries of top", "all the same")
    assert found.places[0].usage.distinct == pytest.approx(1.0, abs=1e-3) and found.places[0].usage.valid == 1.0


def test_documents_that_see_their_neighbours(monkeypatch):
    def mixed(memory, state, after):
        return {**after, "values": after["values"] + after["values"].mean(0, keepdim=True)}

    plant(monkeypatch, WindowedMemory, mixed)
    found = examine(build(WINDOW))
    assert told(found, "see their neighbours", "last_hidden_state") and "layers.0.values" in found.readings.neighbours
    assert found.readings.again == () and not told(found, "outside the state")


def test_something_kept_on_the_module(monkeypatch):
    def hidden(memory, state, after):
        before = getattr(memory, "hidden", 0.0)
        memory.hidden = after["values"].detach().mean()
        return {**after, "values": after["values"] + before}

    plant(monkeypatch, WindowedMemory, hidden)
    found = examine(build(WINDOW))
    assert told(found, "kept outside the state", "last_hidden_state") and found.readings.again


def test_calls_of_one_segment_that_do_not_write(monkeypatch):
    def only_in_company(memory, state, segments, plan):
        scanned = scan(memory, state, segments, plan)
        return scanned if segments.count > 1 else replace(scanned, state=state)

    scan = WindowedMemory.scan
    monkeypatch.setattr(WindowedMemory, "scan", only_in_company)
    found = examine(build(WINDOW))
    assert told(found, "segment by segment") and "layers.0.keys" in found.readings.piecewise
    assert found.readings.again == ()


@pytest.mark.parametrize("name", ["keys", "values"])
def test_one_half_of_a_window_detached(monkeypatch, name):
    plant(monkeypatch, WindowedMemory, lambda memory, state, after: {**after, name: after[name].detach()})
    found = examine(build(WINDOW))
    assert told(found, "layer 0", f"no gradient by {name}") and told(found, "layer 1", f"no gradient by {name}")
    assert found.places[0].gradient > 0 and not told(found, "top")


def test_values_that_are_all_zero(monkeypatch):
    def empty(memory, state, after):
        return {**after, "values": torch.zeros_like(after["values"])}

    plant(monkeypatch, WindowedMemory, empty)
    found = examine(build(WINDOW))
    assert told(found, "values of layer 0", "all zero") and found.places[0].usage.values == 0


def test_a_state_that_fades(monkeypatch):
    def weaker(memory, state, after):
        return {**after, "values": after["values"] * 0.8 ** after["segments"][:, None, None, None]}

    plant(monkeypatch, GatedMemory, weaker)
    found = examine(build(GATED))
    for place in ("layer 0", "layer 1"):
        assert told(found, f"state of {place} fades", "values")


def test_a_loss_of_its_own_that_trains_nothing(monkeypatch):
    loss = CompressiveMemory.auxiliary_loss

    def cut(memory, state, segment):
        found = loss(memory, state, segment)
        return None if found is None else found.detach()

    monkeypatch.setattr(CompressiveMemory, "auxiliary_loss", cut)
    found = examine(build("compressive_reconstruction"))
    assert found.idle_loss and told(found, "own loss trains nothing")
    monkeypatch.setattr(CompressiveMemory, "auxiliary_loss", loss)
    assert not examine(build("compressive_reconstruction")).idle_loss
    # Nothing leaves so long a window, and there is nothing to learn from yet.
    options = {"window": 512, "slots": 6, "compression": "convolution", "reconstruction_weight": 0.5}
    assert not examine(build(Design("compressive", options, None))).idle_loss
