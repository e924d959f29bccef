import pytest
import torch

from memenc_kernels import compress
from memenc_kernels.compression.operators import backward, forward
from tests.kernels.compare import OPERATOR_CHECKS, differences
from tests.kernels.compression_cases import KINDS, SIZES, random_inputs, rotated, with_kernels
from tests.kernels.guards import far_apart


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_outputs_and_gradients(size, kind):
    assert not differences(with_kernels(compress), random_inputs(size, kind), {"rate": size[3], "kind": kind})


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision(kind):
    inputs = random_inputs(SIZES["odd"], kind, torch.float16)
    assert not differences(with_kernels(compress), inputs, {"rate": 3, "kind": kind}, reverse=True)


@pytest.mark.parametrize("interleaved", (False, True))
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_a_rotation_is_taken_off(size, kind, interleaved):
    options = {"rate": size[3], "kind": kind}
    assert not differences(with_kernels(compress, rotated(size, interleaved)), random_inputs(size, kind), options)


def test_half_precision_with_a_rotation():
    inputs, turn = random_inputs(SIZES["odd"], "learned_query", torch.float16), rotated(SIZES["odd"], False)
    assert not differences(with_kernels(compress, turn), inputs, {"rate": 3, "kind": "learned_query"}, reverse=True)


def test_a_forgotten_rotation_is_noticed():
    turn = rotated(SIZES["odd"], False)

    def forgets(implementation, **given):
        found = compress if implementation == "triton" else with_kernels(compress, turn)
        return found(implementation=implementation, **given)

    wrong = differences(forgets, random_inputs(SIZES["odd"], "mean"), {"rate": 3, "kind": "mean"})
    assert set(wrong) == {"output 0", "gradient of keys"}


def test_equal_maxima_share_their_gradient():
    inputs = {name: x.round() for name, x in random_inputs(SIZES["odd"], "max").items()}
    assert not differences(compress, inputs, {"rate": 3, "kind": "max"})


def test_views_and_expanded_gradients():
    inputs = random_inputs(SIZES["odd"], "learned_query")
    inputs["keys"] = inputs["keys"].transpose(1, 2).contiguous().transpose(1, 2)
    inputs["values"] = inputs["values"].mT.contiguous().mT
    options = {"rate": 3, "kind": "learned_query"}
    assert not differences(compress, inputs, options, [torch.randn(()).expand(3, 2, 7, 15)] * 2, guarded=False)


def test_far_apart_in_memory():
    inputs = random_inputs((2, 1, 1, 3, 8), "learned_query")
    options = {"rate": 3, "kind": "learned_query"}
    wanted = compress(**inputs, **options, implementation="torch")
    inputs["keys"], inputs["values"] = (
        far_apart(inputs["keys"], 0, 2**31 + 8),
        far_apart(inputs["values"], 2, 2**30 + 8),
    )
    found = compress(**inputs, **options, implementation="triton")
    assert all(torch.allclose(*pair, rtol=1e-5, atol=1e-5) for pair in zip(found, wanted, strict=True))


def test_torch_knows_the_operator():
    inputs = random_inputs((2, 1, 3, 2, 4), "learned_query")
    tensors = [x.requires_grad_() for x in inputs.values()]
    arguments = (*tensors[:2], 2, "learned_query", tensors[2], *rotated((2, 1, 3, 2, 4), True))
    torch.library.opcheck(forward, arguments, test_utils=OPERATOR_CHECKS)
    halves = [torch.randn(2, 1, slots, 4, dtype=torch.float16) for slots in (3, 3, 6, 6)]
    for query in (None, torch.randn(1, 4)):
        kind = "mean" if query is None else "learned_query"
        given = (*halves, 2, kind, query, None, None, False)
        torch.library.opcheck(backward, given, test_utils=("test_schema", "test_faketensor"))
    compiled = torch.compile(compress, fullgraph=True, backend="aot_eager")
    options = {"rate": 2, "kind": "learned_query"}
    both = [
        torch.autograd.grad(sum(x.square().sum() for x in function(**inputs, **options)), tensors)
        for function in (compiled, compress)
    ]
    assert all(torch.equal(*pair) for pair in zip(*both, strict=True))


FAULTS = {
    "the mean is the maximum": ("mean", lambda given: {"kind": "max"}),
    "the maximum is the mean": ("max", lambda given: {"kind": "mean"}),
    "the query is forgotten": ("learned_query", lambda given: {"query": 0 * given["query"]}),
    "the query has no gradient": ("learned_query", lambda given: {"query": given["query"].detach()}),
    "keys are compressed as values": ("mean", lambda given: {"keys": given["values"], "values": given["keys"]}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_noticed(fault):
    kind, change = FAULTS[fault]

    def faulty(implementation, **given):
        return compress(**given | (change(given) if implementation == "triton" else {}), implementation=implementation)

    options = {"rate": 3, "kind": kind}
    assert any(differences(faulty, random_inputs(SIZES["odd"], kind), options) for _ in range(5))


@pytest.mark.parametrize(
    ("options", "message"),
    (
        ({"rate": 2}, "does not divide"),
        ({"rate": 3, "kind": "median"}, "choose one of"),
        ({"rate": 3, "kind": "learned_query"}, "give a query"),
    ),
)
def test_refuses_what_does_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        compress(**random_inputs(SIZES["odd"], "mean"), **options)
