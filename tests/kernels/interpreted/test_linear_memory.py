import pytest
import torch

from memenc_kernels import linear_memory
from memenc_kernels.linear_memory.operators import forward
from tests.kernels.compare import OPERATOR_CHECKS, differences
from tests.kernels.guards import far_apart
from tests.kernels.linear_cases import SIZES, known_before, random_inputs, random_options, strided


@pytest.mark.parametrize("rule", ("linear", "delta"))
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_outputs_and_gradients(size, rule):
    assert not differences(linear_memory, random_inputs(size), random_options(size[1]) | {"rule": rule})


@pytest.mark.parametrize("size", ("grouped", "wide"))
def test_half_precision(size):
    assert not differences(linear_memory, random_inputs(SIZES[size], torch.float16), random_options(SIZES[size][1]))


def test_cuts_end_gradients():
    inputs = random_inputs((1, 3, 1, 1, 2, 3, 4))
    for place in range(3):
        assert not differences(linear_memory, inputs, {"cuts": tuple(index == place for index in range(3))})


def test_order_of_programs_does_not_matter():
    assert not differences(linear_memory, random_inputs((1, 3, 2, 1, 3, 3, 4)), random_options(3), reverse=True)


def test_views_and_expanded_gradients():
    inputs = strided(random_inputs(SIZES["grouped"]))
    shapes = inputs["queries"].shape, inputs["matrix"].shape, inputs["normaliser"].shape
    weights = [torch.randn(()).expand(shapes[0]), torch.randn(shapes[1]).mT, torch.randn(()).expand(shapes[2])]
    assert not differences(linear_memory, inputs, {}, weights, guarded=False)


def test_far_apart_in_memory():
    inputs = random_inputs((2, 2, 2, 1, 3, 5, 16))
    wanted = linear_memory(**inputs, implementation="torch")
    far = {
        name: far_apart(inputs[name], axis, 2**29 + 8) for name, axis in {"queries": 3, "keys": 0, "values": 1}.items()
    }
    for found, expected in zip(linear_memory(**inputs | far, implementation="triton"), wanted, strict=True):
        assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_what_is_not_written_has_no_say():
    inputs = random_inputs(SIZES["grouped"])
    inputs["complete"][0], inputs["complete"][1] = False, torch.tensor([True, False, True])
    inputs["known"] = known_before(inputs["normaliser"].flatten(1).any(1), inputs["complete"])
    for name in ("keys", "values"):
        inputs[name][~inputs["complete"]] = torch.nan
        inputs[name].requires_grad_()
    found = linear_memory(**inputs, implementation="triton")
    for name in ("matrix", "normaliser"):
        assert torch.equal(getattr(found, name)[0], inputs[name][0]), "bit for bit"
    assert all(each.isfinite().all() for each in found)
    for gradient in torch.autograd.grad(sum(each.sum() for each in found), [inputs["keys"], inputs["values"]]):
        assert gradient.isfinite().all() and not gradient[~inputs["complete"]].any()


def test_the_first_segment_meets_a_normaliser_of_zero():
    inputs = random_inputs((1, 2, 1, 1, 5, 5, 16))
    inputs["matrix"].zero_(), inputs["normaliser"].zero_()
    inputs["complete"][:] = True
    inputs["known"][:] = torch.tensor([False, True])
    assert not linear_memory(**inputs, implementation="triton").retrieved[:, 0].any()
    assert not differences(linear_memory, inputs, {})


def test_torch_knows_the_operator():
    inputs = random_inputs((1, 2, 2, 1, 2, 3, 4))
    tensors = [x.requires_grad_() if x.is_floating_point() else x for x in inputs.values()]
    torch.library.opcheck(forward, (*tensors, True, [False, True]), test_utils=OPERATOR_CHECKS)


@pytest.mark.parametrize("cuts", ((), (False, True)), ids=("no cuts", "cuts"))
def test_compiled_without_a_break_in_the_graph(cuts):
    inputs = random_inputs((1, 2, 2, 1, 2, 3, 4))
    leaves = [x.requires_grad_() for x in inputs.values() if x.is_floating_point()]
    compiled = torch.compile(linear_memory, fullgraph=True, backend="aot_eager")
    ways = [torch.randn_like(inputs["queries"]), torch.randn_like(inputs["matrix"])]
    both = [
        torch.autograd.grad(function(**inputs, cuts=cuts, implementation="triton")[:2], leaves, ways)
        for function in (compiled, linear_memory)
    ]
    assert all(torch.equal(left, right) for left, right in zip(*both, strict=True))


FAULTS = {
    "the linear rule instead of the delta rule": lambda given: given | {"rule": "linear"},
    "cuts are forgotten": lambda given: given | {"cuts": ()},
    "everything is written": lambda given: given | {"complete": torch.ones_like(given["complete"])},
    "heads are paired wrongly": lambda given: given | {"queries": given["queries"][:, :, [0, 2, 1, 3]]},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_noticed(fault):
    options = {"cuts": (False, True, False), "rule": "delta"}
    known = {
        "complete": torch.tensor([[True, False, True], [True, True, True]]),
        "known": torch.tensor([[False, True, True], [False, True, True]]),
        "matrix": torch.zeros(2, 2, 16, 16),
        "normaliser": torch.zeros(2, 2, 16),
    }

    def faulty(implementation, **given):
        return linear_memory(
            **(FAULTS[fault](given) if implementation == "triton" else given), implementation=implementation
        )

    assert any(differences(faulty, random_inputs(SIZES["grouped"]) | known, options) for _ in range(5))


@pytest.mark.parametrize("implementation", ("torch", "triton"))
@pytest.mark.parametrize("level", (-20.0, -60.0, -300.0))
def test_queries_far_below_zero_find_what_there_is_or_nothing(implementation, level):
    inputs = random_inputs(SIZES["grouped"])
    inputs["normaliser"] += 1.0
    inputs["known"] |= True
    inputs["queries"] += level
    exact = {name: x.double() if x.is_floating_point() else x for name, x in inputs.items()}
    wanted = linear_memory(**exact, implementation="torch")
    inputs["queries"].requires_grad_()
    found = linear_memory(**inputs, implementation=implementation)
    # At -300 every feature is 0 in float32: nothing is found, rather than 0 / 0.
    expected = torch.zeros(()) if level == -300.0 else wanted.retrieved
    assert (found.retrieved - expected).abs().max() <= 1e-5 * wanted.retrieved.abs().max()
    (gradient,) = torch.autograd.grad(found.retrieved.sum(), inputs["queries"])
    assert gradient.isfinite().all()
