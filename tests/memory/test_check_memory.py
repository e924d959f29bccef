"""`check_memory` finds what breaks the contract, and says which part of it."""

import sys
from dataclasses import replace

import pytest
import torch

from memenc import MemencModel, register_memory
from memenc.memory import MEMORIES, LayerSizes, build_memory
from memenc.memory.outside import import_modules
from memenc.memory.trial import try_out
from memenc.testing import check_memory
from memenc.testing.comparing import assert_equal
from tests.backbones import SEGMENT, tiny_backbone
from tests.memory.designs import DESIGNS


@pytest.mark.parametrize("design", ["compressive_convolution", "tokens", "summary"])
def test_memencs_own_designs_keep_the_contract(design):
    row = DESIGNS[design]
    check_memory(row.memory, row.options, constant_size=row.constant_size, seed=torch.initial_seed() % 1000)


def test_a_growing_state_must_be_said_to_grow():
    with pytest.raises(AssertionError, match=r"the size of the state.*top.tokens is \(2, 1, 2, 32\)"):
        check_memory("summary", {"tokens": 2})
    check_memory("windowed", {"window": 8}, constant_size=False)


def test_no_memory_is_not_alive():
    with pytest.raises(AssertionError, match=r"the segment before\. .*has gradient 0 to the third; seed 3"):
        check_memory("none", seed=3)


@pytest.fixture
def base(own_design):
    """The class of CONTRIBUTING.md."""
    import_modules(["decayed_mean"])
    return sys.modules["decayed_mean"].DecayedMeanMemory


def mixes_documents(base):
    class Faulty(base):
        def _faded(self, mean, tokens):
            found = super()._faded(mean, tokens)
            return found + 0.1 * found.mean(0, keepdim=True)

    return Faulty


def cuts_the_gradient(base):
    class Faulty(base):
        def write(self, state, segment):
            return {name: tensor.detach() for name, tensor in super().write(state, segment).items()}

    return Faulty


def has_an_idle_parameter(base):
    class Faulty(base):
        def __init__(self, sizes, decay=0.9):
            super().__init__(sizes, decay)
            self.idle = torch.nn.Parameter(torch.ones(1))

        def read(self, state):
            return replace(super().read(state), bias=self.entry_bias + 0.0 * self.idle)

    return Faulty


def starts_loud(base):
    class Faulty(base):
        def reset_parameters(self):
            torch.nn.init.constant_(self.entry_bias, 9.0)

        def read(self, state):
            found = super().read(state)
            return replace(found, values=100 * found.values)

    return Faulty


def remembers_on_the_module(base):
    class Faulty(base):
        def write(self, state, segment):
            self.writes = getattr(self, "writes", 0) + 1
            found = super().write(state, segment)
            return found | {"values": found["values"] * (1 + 0.01 * self.writes)}

    return Faulty


def counts_what_is_padding(base):
    class Faulty(base):
        def scan(self, state, segments, plan):
            return super().scan(state, segments, replace(plan, written=("all",) * segments.count))

    return Faulty


FAULTS = {
    mixes_documents: "padding and neighbours change nothing",
    cuts_the_gradient: "gradient reaches the segment before",
    has_an_idle_parameter: r"gradient reaches every parameter of the memory\. the gradient of .*idle is 0",
    starts_loud: r"a fresh memory hardly disturbs the backbone\. a fresh memory changes token states by",
    remembers_on_the_module: r"padding and neighbours change nothing\. .* differs by \d\.\d+e-\d+; seed 0",
    counts_what_is_padding: "padding and neighbours change nothing",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_invariant_is_named(base, fault):
    register_memory("faulty", fault(base))
    with pytest.raises(AssertionError, match=f"memory 'faulty' breaks this: ({FAULTS[fault]})"):
        check_memory("faulty")


def test_what_differs_by_rounding_alone_is_told_why():
    wanted = torch.rand(100) + 1
    with pytest.raises(AssertionError, match=r"keys is not bit-identical.*strided view.*call contiguous\(\)"):
        assert_equal(wanted * (1 + 1e-6), wanted, "keys")
    with pytest.raises(AssertionError, match=r"it differs by \d\.\d\de-01; seed"):
        assert_equal(wanted * 1.5, wanted, "keys")


class Scribbles:
    def write(self, state, segment):
        state["segments"] += 1
        return super().write(state, segment)


class Forgets:
    def write(self, state, segment):
        found = super().write(state, segment)
        del found["segments"]
        return found


class Adds:
    def write(self, state, segment):
        return super().write(state, segment) | {"more": state["segments"]}


class GivesPairs:
    def write(self, state, segment):
        return tuple(super().write(state, segment).values())


class WritesFloat:
    def write(self, state, segment):
        found = super().write(state, segment)
        return found | {"segments": found["segments"].float()}


class WritesFlat:
    def write(self, state, segment):
        found = super().write(state, segment)
        return found | {"keys": found["keys"].flatten(2)}


class StartsTooNarrow:
    def initial_state(self, batch, like):
        state = super().initial_state(batch, like)
        return state | {"keys": state["keys"][..., :-1]}


class Fails:
    def write(self, state, segment):
        return super().write(state, replace(segment, keys=segment.keys[..., :-1]))


class StartsWithoutDocuments:
    def initial_state(self, batch, like):
        return super().initial_state(batch, like) | {"segments": torch.zeros(7)}


class ReadsPairs:
    def read(self, state):
        return state["keys"], state["values"]


class ReadsNumbers:
    def read(self, state):
        return replace(super().read(state), valid=state["segments"][:, None])


class ReadsFlat:
    def read(self, state):
        return replace(super().read(state), values=state["values"][:, 0])


class LiesNowhere:
    def positions(self, device):
        return None


class LiesAhead:
    def positions(self, device):
        return torch.tensor([0.0])


class RetrievesTensors:
    def retrieve(self, state, queries):
        return (queries,)


MISFITS = {
    Scribbles: "write changes segments in place; return new tensors",
    Forgets: "write forgets segments, which initial_state gives",
    Adds: "write gives more, which initial_state does not give",
    GivesPairs: "write gives tuple; a state is a dictionary of tensors",
    WritesFloat: r"write makes segments \(2,\) float32 of \(2,\) int64; shape and type must stay",
    WritesFlat: r"write makes keys \(2, 4, 8\) float32 of \(2, 4, 1, 8\) float32",
    StartsTooNarrow: r"read gives keys \(2, 4, 1, 7\) float32; their shape must be \(2, 4, 1, 8\)",
    Fails: r"write of a state with keys \(2, 4, 1, 8\) float32, .* fails: RuntimeError: The size of tensor",
    StartsWithoutDocuments: r"initial_state gives segments \(7,\) float32; its first dimension must be the 2 documents",
    ReadsPairs: "read gives tuple; give Entries",
    ReadsNumbers: r"read gives valid \(2, 1\) int64; it must be bool",
    ReadsFlat: r"read gives values \(2, 1, 8\) float32; their shape must be \(2, 4, 1, 8\)",
    LiesNowhere: "read gives entries, but positions gives None, so nobody would see them",
    LiesAhead: r"positions gives tensor\(\[0.\]\); give one number below 0 for each of the 1 entries",
    RetrievesTensors: "retrieve gives tuple; give a tuple of Added, Mixed or Joined",
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_methods_that_do_not_fit_each_other_are_named_when_a_model_is_made(base, misfit):
    register_memory("misfit", type("Misfit", (misfit, base), {}))
    with pytest.raises(ValueError, match=f"memory 'misfit': {MISFITS[misfit]}"):
        MemencModel.from_backbone(tiny_backbone(), memory="windowed+misfit", segment_length=SEGMENT)


def test_trying_out_draws_no_random_number(base):
    seeds = []
    for memory in ("none", "decayed_mean"):
        torch.manual_seed(0)
        backbone = tiny_backbone()
        MemencModel.from_backbone(backbone, memory=memory, segment_length=SEGMENT, readout="mean")
        seeds.append(torch.rand(1))
    assert torch.equal(*seeds)


@pytest.mark.parametrize("design", [name for name, row in DESIGNS.items() if "+" not in row.memory])
def test_memencs_own_designs_fit(design):
    row = DESIGNS[design]
    if MEMORIES[row.memory].row is None:
        sizes = LayerSizes(heads=4, key_value_heads=2, head_dim=8, segment_length=SEGMENT)
        for dtype in (torch.float32, torch.bfloat16):
            try_out(row.memory, build_memory(row.memory, sizes, row.options).to(dtype))
