import pytest
import torch

from memenc_kernels import document_pooling
from memenc_kernels.document_pooling.operators import forward
from tests.kernels.compare import OPERATOR_CHECKS, differences
from tests.kernels.guards import far_apart
from tests.kernels.pooling_cases import SIZES, pool, random_inputs


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_outputs_and_gradients(size):
    assert not differences(pool, random_inputs(size), {})


@pytest.mark.parametrize("size", ("odd", "as used"))
def test_half_precision(size):
    assert not differences(pool, random_inputs(SIZES[size], torch.float16), {})


def test_equal_maxima_share_their_gradient():
    inputs = random_inputs((2, 70, 8, 2, 2))
    inputs["states"] = inputs["states"].round()
    assert not differences(pool, inputs, {}, reverse=True)


def test_views_and_expanded_gradients():
    inputs = random_inputs(SIZES["odd"])
    for name in ("states", "query"):
        inputs[name] = inputs[name].mT.contiguous().mT
    inputs["valid"] = inputs["valid"][:1].expand(3, -1)
    weights = [torch.randn(()).expand_as(x) for x in pool(**inputs, implementation="torch")]
    assert not differences(pool, inputs, {}, weights, guarded=False)


def test_far_apart_in_memory():
    inputs = random_inputs((2, 3, 8, 2, 2))
    wanted = pool(**inputs, implementation="torch")
    for axis in (0, 1):
        found = pool(**inputs | {"states": far_apart(inputs["states"], axis, 2**30 + 8)}, implementation="triton")
        assert all(torch.allclose(*both, rtol=1e-5, atol=1e-5) for both in zip(found, wanted, strict=True))


def test_what_does_not_count_has_no_say():
    inputs = random_inputs(SIZES["odd"])
    inputs["states"][~inputs["valid"]] = torch.nan
    inputs["states"].requires_grad_()
    found = pool(**inputs, implementation="triton")
    assert (found.highest[1] == -torch.inf).all() and not found.total[1].any() and not found.weighted[1].any()
    assert torch.equal(found.maximum[1], inputs["before"][1])
    (gradient,) = torch.autograd.grad(sum(x.sum() for x in (found.total, found.sums, found.weighted)), inputs["states"])
    assert gradient.isfinite().all() and not gradient[~inputs["valid"]].any()


def test_torch_knows_the_operator():
    inputs = random_inputs((2, 3, 4, 1, 2))
    inputs["states"].requires_grad_(), inputs["query"].requires_grad_()
    torch.library.opcheck(forward, tuple(inputs.values()), test_utils=OPERATOR_CHECKS)
    compiled = torch.compile(document_pooling, fullgraph=True, backend="aot_eager")
    for left, right in zip(compiled(**inputs), document_pooling(**inputs), strict=True):
        assert torch.equal(left, right)


FAULTS = {
    "everything counts": lambda given: given | {"valid": torch.ones_like(given["valid"])},
    "nothing was read before": lambda given: given | {"before": torch.full_like(given["before"], -torch.inf)},
    "scales are swapped": lambda given: given | {"scales": given["scales"].flip(0)},
    "maxima go to one token": lambda given: given | {"states": given["states"] + 1e-3 * torch.rand(2, 9, 4)},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_noticed(fault):
    known = {"valid": torch.arange(9) < torch.tensor([[7], [3]]), "before": torch.full((2, 2), 9.0)}

    def faulty(implementation, **given):
        return pool(**(FAULTS[fault](given) if implementation == "triton" else given), implementation=implementation)

    assert any(differences(faulty, random_inputs((2, 9, 4, 2, 2)) | known, {}) for _ in range(5))
