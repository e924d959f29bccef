import pytest
import torch

from memenc_kernels import Rotation, rotate
from memenc_kernels.rotation.operators import forward
from tests.kernels.compare import EXACT, OPERATOR_CHECKS, differences, error
from tests.kernels.guards import far_apart
from tests.kernels.rotation_cases import SIZES, random_rotation, random_tokens, rotating


@pytest.mark.parametrize("interleaved", (False, True))
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_output_and_gradient(size, interleaved):
    assert not differences(rotating(random_rotation(size, interleaved)), random_tokens(size), {})


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_half_precision(size):
    inputs = random_tokens(size, torch.float16)
    assert not differences(rotating(random_rotation(size, False)), inputs, {}, reverse=True)


def test_views_and_expanded_gradients():
    size = SIZES["places of every segment"]
    inputs = {"tokens": torch.randn(2, 5, 65, 1, 24).transpose(2, 3)}
    turn = rotating(random_rotation(size, True))
    assert not differences(turn, inputs, {}, [torch.randn(()).expand(2, 5, 1, 65, 24)], guarded=False)


def test_far_apart_in_memory():
    tokens, rotation = torch.randn(2, 1, 3, 8), Rotation.by(torch.arange(3), torch.rand(4), False, torch.float32)
    wanted = rotate(tokens, rotation, implementation="torch")
    found = rotate(far_apart(tokens, 0, 2**31 + 8), rotation, implementation="triton")
    assert error(found, wanted) < EXACT


@pytest.mark.parametrize("interleaved", (False, True))
def test_the_inverse_takes_it_off(interleaved):
    size = SIZES["a shift for every row"]
    tokens, rotation = random_tokens(size)["tokens"], random_rotation(size, interleaved)
    turned = rotate(tokens, rotation, implementation="triton")
    assert error(turned, tokens) > 0.1
    assert error(rotate(turned, rotation.inverse(), implementation="triton"), tokens) < EXACT


def test_torch_knows_the_operator():
    tokens, rotation = torch.randn(2, 3, 8, requires_grad=True), random_rotation(((2, 3, 8), (3,), 2), False)
    torch.library.opcheck(forward, (tokens, *rotation, False), test_utils=OPERATOR_CHECKS)
    compiled = torch.compile(rotate, fullgraph=True, backend="aot_eager")
    both = [torch.autograd.grad(each(tokens, rotation).sin().sum(), tokens)[0] for each in (compiled, rotate)]
    assert torch.equal(*both)


FAULTS = {
    "the other way": lambda turn: turn.inverse(),
    "other pairs": lambda turn: turn._replace(interleaved=not turn.interleaved),
    "a place too far": lambda turn: Rotation(turn.cosine.roll(1, 0), turn.sine.roll(1, 0), turn.interleaved),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_noticed(fault):
    size = SIZES["keys of segments"]
    rotation = random_rotation(size, False)

    def faulty(tokens, implementation):
        turn = FAULTS[fault](rotation) if implementation == "triton" else rotation
        return rotating(turn)(tokens, implementation)

    assert len(differences(faulty, random_tokens(size), {})) == 2


@pytest.mark.parametrize(
    ("tables", "message"),
    (
        ((5, 2), "does not broadcast"),
        ((2, 3, 2), "does not broadcast"),
        ((3, 5), "at most 4 pairs"),
        ((2,), r"must be \(..., tokens, pairs\)"),
    ),
)
def test_refuses_what_does_not_fit(tables, message):
    with pytest.raises(ValueError, match=message):
        rotate(torch.randn(4, 3, 8), Rotation(torch.ones(tables), torch.zeros(tables)))
