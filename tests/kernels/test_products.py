"""Products by oneDNN: the same numbers and gradients, and only where they are wanted."""

import random

import pytest
import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from memenc import MemencModel
from memenc_kernels import products
from memenc_kernels.dispatch import use_implementation
from memenc_kernels.memory_attention import reference
from memenc_kernels.products import fast_products
from tests.kernels.test_memory_attention import SIZES, naive_attention, random_inputs
from tests.tiny import save_tiny_backbone

pytestmark = pytest.mark.skipif(products._fault() is not None, reason=f"{products._fault()}")
CPU = torch.device("cpu")


@pytest.fixture
def everywhere(monkeypatch):
    """As on a processor where oneDNN is faster, and for any number of multiplications."""
    monkeypatch.setattr(products, "why_not", lambda: None)
    monkeypatch.setattr(products, "FEWEST_MULTIPLICATIONS", 1)


@pytest.fixture
def calls(monkeypatch):
    """Shapes of the operands of every product by oneDNN."""
    found, product = [], products.product

    def counted(inputs, weight, bias=None):
        found.append((tuple(inputs.shape), tuple(weight.shape)))
        return product(inputs, weight, bias)

    monkeypatch.setattr(products, "product", counted)
    return found


@pytest.mark.parametrize("around", [torch.no_grad, lambda: torch.autocast("cpu", torch.bfloat16), torch.inference_mode])
def test_finding_out_draws_no_random_number(around):
    before = torch.get_rng_state()
    with around():
        assert products._fault() is None
    assert torch.equal(torch.get_rng_state(), before)


def test_a_bias_that_is_no_number_is_not_left_out(everywhere, calls):
    inputs = random_inputs(SIZES["odd"], torch.float32, masks=False)
    inputs["memory_bias"][:] = torch.nan
    assert reference.attention(**inputs).isnan().all() and calls


def error(found, right):
    found, right = found.detach().double(), right.detach().double()
    return float((found - right).norm() / right.norm())


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("layout", ["contiguous", "heads apart"])
def test_numbers_and_gradients_are_those_of_the_formula(everywhere, calls, biased, layout):
    rows, tokens, wide, narrow = (random.randrange(8, 70) for _ in range(4))
    inputs = torch.randn(rows, tokens, wide, requires_grad=True)
    if layout == "heads apart":
        inputs = torch.randn(tokens, rows, wide, requires_grad=True).transpose(0, 1)
    weight, bias = torch.randn(narrow, wide, requires_grad=True), torch.randn(narrow, requires_grad=True)
    given = (inputs, weight, bias) if biased else (inputs, weight)
    with fast_products(121, CPU):
        found = functional.linear(*given)
    assert len(calls) == 1
    gradient = torch.randn_like(found)
    exact = [x.detach().double().requires_grad_() for x in given]
    right = functional.linear(*exact)
    assert error(found, right) < 1e-6
    found_gradients = torch.autograd.grad(found, given, gradient)
    for one, other in zip(found_gradients, torch.autograd.grad(right, exact, gradient.double()), strict=True):
        assert error(one, other) < 2e-6
    assert len(calls) == 3


def test_what_needs_no_gradient_gets_none(everywhere, calls):
    inputs, weight = torch.randn(6, 5), torch.randn(4, 5, requires_grad=True)
    with fast_products(121, CPU):
        functional.linear(inputs, weight).sum().backward()
    assert weight.grad is not None and len(calls) == 2


def test_gradients_of_gradients_are_refused(everywhere):
    inputs, weight = torch.randn(6, 5, requires_grad=True), torch.randn(4, 5, requires_grad=True)
    with fast_products(121, CPU):
        found = functional.linear(inputs, weight)
    (first,) = torch.autograd.grad(found.pow(2).sum(), inputs, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def test_bad_shapes_are_refused_as_ever(everywhere):
    shapes = [((6, 5), (4, 7), (4,)), ((6, 5), (4, 5), (3,)), ((6, 5), (2, 4, 5), (4,))]
    for inputs, weight, bias in shapes:
        with fast_products(121, CPU), pytest.raises(RuntimeError, match=r"shape|size|must match|dim"):
            functional.linear(torch.randn(inputs), torch.randn(weight), torch.randn(bias))


@pytest.mark.parametrize(
    "case", ["small", "no large layer", "double", "autocast", "counted", "asked for torch", "outside", "meta"]
)
def test_where_it_is_not_wanted_nothing_changes(everywhere, calls, case, monkeypatch):
    dtype = torch.float64 if case == "double" else torch.float32
    device = "meta" if case == "meta" else "cpu"
    inputs, weight = torch.randn(6, 5, dtype=dtype, device=device), torch.randn(4, 5, dtype=dtype, device=device)
    if case == "small":
        monkeypatch.setattr(products, "FEWEST_MULTIPLICATIONS", 121)
    if case == "outside":
        functional.linear(inputs, weight)
    elif case == "autocast":
        with fast_products(121, CPU), torch.autocast("cpu", torch.bfloat16):
            assert functional.linear(inputs, weight).dtype == torch.bfloat16
    elif case == "counted":
        with fast_products(121, CPU), FlopCounterMode(display=False) as counter:
            functional.linear(inputs, weight)
        assert counter.get_total_flops() == 2 * 6 * 5 * 4
    elif case == "asked for torch":
        with use_implementation("torch"), fast_products(121, CPU):
            functional.linear(inputs, weight)
    else:
        with fast_products(0 if case == "no large layer" else 121, torch.device(device)):
            functional.linear(inputs, weight)
    assert not calls


@pytest.mark.parametrize(("device", "modes"), [("cpu", 1), ("cuda", 0), ("meta", 0)])
def test_only_layers_on_a_cpu_take_the_detour(everywhere, device, modes):
    with fast_products(121, torch.device(device)):
        assert torch._C._len_torch_function_stack() == modes


def test_the_fewest_multiplications_are_enough(everywhere, calls, monkeypatch):
    monkeypatch.setattr(products, "FEWEST_MULTIPLICATIONS", 120)
    with fast_products(121, CPU):
        functional.linear(torch.randn(6, 5), torch.randn(4, 5))
    assert len(calls) == 1


@pytest.mark.parametrize("masks", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_attention_head_by_head_is_that_of_the_formula(everywhere, calls, size, bias, masks):
    """Also of rows that see nothing of their memory, whose entries are left out."""
    inputs = random_inputs(size, torch.float32, masks, bias)
    if masks and "memory_valid" in inputs:
        inputs["memory_valid"][random.randrange(len(inputs["memory_valid"]))] = False
    trained = [name for name, x in inputs.items() if x.is_floating_point() and name != "memory_positions"]
    exact = {name: x.double() if x.is_floating_point() else x for name, x in inputs.items()}
    for name in trained:
        inputs[name].requires_grad_()
        exact[name].requires_grad_()
    found, right = reference.attention(**inputs), naive_attention(**exact)
    assert len(calls) == 2 * found.shape[0] * found.shape[1] and found.shape == inputs["queries"].shape
    # Of two values that cancel, nothing may be left.
    assert error(found, right) < 1e-5 or float((found.double() - right).detach().norm()) < 1e-6
    gradient = torch.randn_like(found)
    found_gradients = torch.autograd.grad(found, [inputs[name] for name in trained], gradient)
    # What nobody sees is left out of the formula.
    to, zeros = [exact[name] for name in trained], {"allow_unused": True, "materialize_grads": True}
    right_gradients = torch.autograd.grad(right, to, gradient.double(), **zeros)
    whole = max(float(x.norm()) for x in right_gradients)
    for one, other in zip(found_gradients, right_gradients, strict=True):
        assert float((one.double() - other).norm()) < 1e-5 * whole


@pytest.mark.parametrize("why", ["causal", "sliding_window", "dropout", "threads"])
def test_attention_that_would_not_be_faster_is_torchs_own(everywhere, calls, why, monkeypatch):
    inputs = random_inputs(SIZES["odd"], torch.float32)
    if why == "threads":
        monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    reference.attention(
        **inputs,
        **{"causal": {"causal": True}, "sliding_window": {"sliding_window": 3}, "dropout": {"dropout": 0.5}}.get(
            why, {}
        ),
    )
    assert not calls


def test_numbers_that_are_none_stay_in_their_row(everywhere):
    """Of a matrix, and of a batch of attention."""
    inputs, weight = torch.randn(40, 33), torch.randn(20, 33)
    with fast_products(121, CPU):
        right = functional.linear(inputs, weight)
        inputs[7] = torch.nan
        found = functional.linear(inputs, weight)
    others = torch.arange(40) != 7
    assert found[7].isnan().all() and torch.equal(found[others], right[others])


@pytest.mark.parametrize("memory", ["none", "compressive", "associative"])
def test_a_model_says_the_same_and_learns_the_same(everywhere, calls, memory, tmp_path):
    model = MemencModel.from_backbone(save_tiny_backbone(tmp_path), memory=memory, segment_length=16, readout="mean")
    ids = torch.randint(5, 47, (2, 100))
    results = []
    for implementation in ("torch", "auto"):
        model.zero_grad()
        calls.clear()
        with use_implementation(implementation):
            pooled = model(ids).pooler_output
            pooled.pow(2).sum().backward()
        results.append((pooled.detach(), [x.grad.clone() for x in model.parameters() if x.grad is not None]))
        assert bool(calls) == (implementation == "auto")
    (right, right_gradients), (found, found_gradients) = results
    assert error(found, right) < 1e-5 and len(found_gradients) == len(right_gradients)
    whole = torch.cat([x.flatten() for x in right_gradients]).norm()
    for one, other in zip(found_gradients, right_gradients, strict=True):
        assert float((one - other).norm() / whole) < 1e-5


@pytest.mark.parametrize("memory", ["none", "compressive", "associative"])
def test_other_documents_of_a_batch_change_no_bit(everywhere, calls, memory, tmp_path):
    """Nor does the place of a document among them."""
    model = MemencModel.from_backbone(save_tiny_backbone(tmp_path), memory=memory, segment_length=16, readout="mean")
    ids, others = torch.randint(5, 47, (2, 4, 100))
    mask = torch.arange(100) < torch.tensor([[100], [random.randrange(1, 100)], [70], [100]])
    order = torch.randperm(4)
    with torch.no_grad():
        right = model(ids, mask).pooler_output
        assert torch.equal(model(ids[order], mask[order]).pooler_output, right[order])
        ids[[0, 2, 3]] = others[[0, 2, 3]]
        assert torch.equal(model(ids, mask).pooler_output[1], right[1])
    assert calls
