"""A step of streaming never waits for the device, so that it can be captured as a CUDA graph."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from memenc.encoder.encoded import Keep
from memenc.memory import document
from memenc.segments import cut_into_segments
from tests.memory.checks import build, tokens
from tests.memory.designs import DESIGNS

# Numbers that come from the host, that go there, and shapes that depend on numbers.
WAITING = {
    *(torch.ops.aten.lift_fresh, torch.ops.aten._local_scalar_dense, torch.ops.aten.equal, torch.ops.aten.is_nonzero),
    *(torch.ops.aten.nonzero, torch.ops.aten.masked_select, torch.ops.aten.repeat_interleave),
}
# States that grow are as long as what was read says, which the host must know.
CONSTANT = [name for name, row in DESIGNS.items() if row.constant_size]


class Waits(TorchDispatchMode):
    """Counts calls that wait for a device; a CPU makes the same ones."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        masks = any(getattr(x, "dtype", None) == torch.bool for x in args[1]) if "aten.index" in str(func) else False
        if func.overloadpacket in WAITING or masks:
            self.calls.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("design", CONSTANT)
@torch.no_grad()
def test_a_step_does_not_wait(design):
    model = build(design)
    # The document memory with temperatures is read too.
    ids, state = tokens(2, model.encoder.capacity), model(tokens(2, 40)).memory.tensors
    whole, pending = torch.ones_like(ids, dtype=torch.bool), model.encoder.pending(state)
    segments = cut_into_segments(ids, whole, model.encoder.special, model.config.segment_length, pending)
    for waits in (Waits(), Waits()):
        with waits:
            state = model.encoder(segments, state, 1, Keep(token_states=False)).state
            model.read_out(state)
    # The first step may keep what it needs.
    assert waits.calls == []


def test_what_is_kept_in_inference_serves_training():
    document._kept_on_device.cache_clear()
    memory = document.DocumentMemory(5, queries=3)
    states, valid = torch.randn(2, 1, 4, 5), torch.ones(2, 1, 4, dtype=torch.bool)
    given = memory.initial_state(2, states), states, valid, valid.sum((1, 2))
    with torch.inference_mode():
        memory.take_in(*given)
    pooled = memory.pooled(memory.take_in(*given))
    (gradient,) = torch.autograd.grad(pooled.sum(), memory.query)
    assert gradient.isfinite().all() and gradient.any()
