import pytest
import torch

from memenc.memory import LayerSizes, Segment, build_memory
from memenc_kernels.ring_append import How, in_order, ring_append
from memenc_kernels.ring_append.operators import append
from tests.kernels.guards import Guards, reversed_programs
from tests.kernels.ring_cases import KINDS, SIZES, differences, empty_rings, random_rotation, random_segment


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_rings(size, kind):
    guards = Guards()
    assert not differences(size, kind, ring_append, guard=guards.around)
    assert guards.overwritten() == 0


@pytest.mark.parametrize("interleaved", (False, True))
def test_rotation_is_taken_off(interleaved):
    assert not differences(SIZES["odd"], "learned_query", ring_append, random_rotation(SIZES["odd"], interleaved))


def test_half_precision_and_order_of_programs():
    with reversed_programs():
        assert not differences(SIZES["segment longer than window and slots"], "mean", ring_append, dtype=torch.float16)
        assert not differences(SIZES["segment longer than window and slots"], "max", ring_append)


def test_is_the_compressive_memory():
    sizes = LayerSizes(2, 2, 8, 12)
    memory = build_memory("compressive", sizes, {"window": 6, "slots": 5, "rate": 3})
    size = (2, 2, 6, 9, 5, 3, 12, 8)
    state, rings, count = memory.initial_state(2, torch.zeros(1)), empty_rings(size), torch.zeros(2, dtype=torch.long)
    for _ in range(3):
        keys, values, _ = random_segment(size)
        state = memory.write(state, Segment(keys, keys, values))
        lengths = torch.full((2,), 12)
        count = ring_append(rings, count, keys, values, lengths, window=6, how=How(3), implementation="triton")
        valid = memory.read(state).valid[:, None, :, None]
        for name, ring, slots in (("keys", rings[0], rings[2]), ("values", rings[1], rings[3])):
            found = torch.cat([in_order(slots, (count - 6) // 3, 5), in_order(ring, count, 6)], 2)
            assert ((found - state[name]) * valid).abs().max() < 1e-6


def test_torch_knows_the_operator():
    size = (1, 1, 2, 4, 2, 2, 4, 4)
    keys, values, lengths = random_segment(size)
    rest = (2, 2, "mean", None, None, None, None, None, False)
    arguments = (*empty_rings(size), torch.zeros(1, dtype=torch.long), keys, values, lengths, *rest)
    torch.library.opcheck(append, arguments, test_utils=("test_schema", "test_faketensor"))


@pytest.mark.parametrize("implementation", ("torch", "triton"))
def test_gradients_of_buffers_that_changed_since_are_refused(implementation):
    size = SIZES["odd"]
    rings, (keys, values, lengths) = empty_rings(size), random_segment(size)
    products = [ring * torch.ones(ring.shape, requires_grad=True) for ring in rings]
    tokens, written = torch.full((3,), 6), torch.full_like(lengths, 9)
    ring_append(rings, tokens, keys, values, written, window=6, how=How(3), implementation=implementation)
    for product in products:
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            product.sum().backward()


@pytest.mark.parametrize("fault", ("rate", "window"))
def test_a_planted_fault_is_noticed(fault):
    def faulty(rings, *arguments, implementation, window, how, **options):
        if implementation == "triton":
            window = window - 3 if fault == "window" else window
            how = how._replace(kind="max") if fault == "rate" else how
        return ring_append(rings, *arguments, implementation=implementation, window=window, how=how, **options)

    assert any(differences(SIZES["odd"], "mean", faulty) for _ in range(5))


def test_refuses_what_does_not_fit():
    size = (1, 1, 4, 4, 2, 2, 4, 4)
    with pytest.raises(ValueError, match="one rate more"):
        ring_append(empty_rings(size), torch.zeros(1).long(), *random_segment(size), window=4, how=How(2))
