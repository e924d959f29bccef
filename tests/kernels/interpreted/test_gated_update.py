import pytest
import torch

from memenc_kernels import gated_update
from memenc_kernels.gated_update.operators import forward
from tests.kernels.compare import OPERATOR_CHECKS, differences
from tests.kernels.gated_cases import SIZES, random_inputs


@pytest.mark.parametrize("gate", ("ema", "lstm"))
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_outputs_and_gradients(size, gate):
    assert not differences(gated_update, random_inputs(size, gate), {})


@pytest.mark.parametrize("gate", ("ema", "lstm"))
def test_half_precision(gate):
    assert not differences(gated_update, random_inputs(SIZES["odd"], gate, torch.float16), {}, reverse=True)


def test_views_and_expanded_gradients():
    inputs = random_inputs(SIZES["odd"], "lstm")
    for name in ("slots", "content", "keep", "take"):
        inputs[name] = inputs[name].mT.contiguous().mT
    inputs["longest"] = inputs["longest"][:, :1].expand(-1, 2, -1)
    assert not differences(gated_update, inputs, {}, [torch.randn(()).expand_as(inputs["slots"])], guarded=False)


def test_slots_of_zero_are_finite():
    inputs = random_inputs(SIZES["odd"], "ema")
    for name in ("slots", "content"):
        inputs[name][:, :, :, :3] = 0.0
    inputs["longest"][0] = 0.0
    assert not differences(gated_update, inputs, {})


def test_torch_knows_the_operator():
    inputs = random_inputs((2, 1, 3, 4), "lstm")
    tensors = [inputs[name] for name in ("slots", "content", "keep", "take", "fresh", "longest")]
    tensors = [x.requires_grad_() if x.is_floating_point() else x for x in tensors]
    torch.library.opcheck(forward, tuple(tensors), test_utils=OPERATOR_CHECKS)
    compiled = torch.compile(gated_update, fullgraph=True, backend="aot_eager")
    wanted, found = gated_update(**inputs), compiled(**inputs)
    leaves = [x for x in tensors if x.is_floating_point()]
    both = [torch.autograd.grad(result.square().sum(), leaves) for result in (wanted, found)]
    assert torch.equal(wanted, found) and all(torch.equal(*pair) for pair in zip(*both, strict=True))


FAULTS = {
    "nobody is fresh": lambda given: given | {"fresh": torch.zeros_like(given["fresh"])},
    "slots may be longer": lambda given: given | {"longest": 1.01 * given["longest"]},
    "nothing is taken": lambda given: given | {"take": given["take"] - 30.0},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_noticed(fault):
    known = {"fresh": torch.tensor([True, False]), "longest": torch.full((2, 2, 1), 0.5)}

    def faulty(implementation, **given):
        changed = FAULTS[fault](given) if implementation == "triton" else given
        return gated_update(**changed, implementation=implementation)

    assert any(differences(faulty, random_inputs((2, 1, 5, 8), "lstm") | known, {}) for _ in range(5))
