"""The torch reference of memory attention against the formula written out, at awkward sizes."""

import random

import pytest
import torch

from memenc_kernels.memory_attention import reference
from memenc_kernels.memory_attention.reference import attention as memory_attention
from tests.kernels.naive import naive_attention

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}

# rows, heads, key_value_heads, tokens, dim, entries
SIZES = {
    "one of each": (1, 1, 1, 1, 1, 1),
    "odd": (3, 3, 3, 7, 5, 11),
    "grouped": (2, 6, 2, 9, 8, 5),
    "one key head": (2, 4, 1, 5, 3, 13),
    "more memory than tokens": (2, 2, 2, 3, 16, 37),
    "no memory": (2, 4, 2, 9, 8, 0),
}

OPTIONS = {
    "plain": {},
    "scaled": {"scaling": 0.7},
    "causal": {"causal": True},
    "sliding": {"sliding_window": 4},
    "causal sliding": {"causal": True, "sliding_window": 3},
    "memory outside the window": {"sliding_window": 2, "memory_in_sliding_window": False},
    "window of one": {"sliding_window": 1},
}


def right_padded(rows, tokens):
    """Validity with rows of every kind: full, some, none."""
    lengths = torch.tensor([random.choice([tokens, random.randrange(tokens + 1), 0]) for _ in range(rows)])
    return torch.arange(tokens) < lengths[:, None]


def random_inputs(size, dtype=torch.float64, masks=True, bias=True):
    rows, heads, groups, tokens, dim, entries = size
    inputs = {
        "queries": torch.randn(rows, heads, tokens, dim, dtype=dtype),
        "keys": torch.randn(rows, groups, tokens, dim, dtype=dtype),
        "values": torch.randn(rows, groups, tokens, dim, dtype=dtype),
    }
    if masks:
        inputs["valid"] = right_padded(rows, tokens)
    if entries:
        inputs["memory_keys"] = torch.randn(rows, groups, entries, dim, dtype=dtype)
        inputs["memory_values"] = torch.randn(rows, groups, entries, dim, dtype=dtype)
        inputs["memory_positions"] = -torch.rand(entries).sort(descending=True).values * 8 - 0.5
        if bias:
            inputs["memory_bias"] = torch.randn(heads, entries, dtype=dtype)
        if masks:
            inputs["memory_valid"] = torch.rand(rows, entries) < 0.6
    return inputs


def seen_queries(inputs):
    """Queries whose output counts, (rows, 1, tokens, 1): the valid ones, and all of a row without any."""
    valid = inputs.get("valid")
    if valid is None:
        return torch.ones(inputs["queries"].shape[0], 1, inputs["queries"].shape[2], 1, dtype=torch.bool)
    return (valid | ~valid.any(1, keepdim=True))[:, None, :, None]


def difference(inputs, options):
    """Largest difference to the formula where outputs count; not a number if any output is none."""
    got, wanted = memory_attention(**inputs, **options), naive_attention(**inputs, **options)
    assert got.shape == wanted.shape and got.dtype == inputs["queries"].dtype
    return ((got - wanted) * seen_queries(inputs)).abs().max()


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_against_the_formula(size, option, dtype):
    for masks in (True, False):
        for bias in (True, False):
            assert difference(random_inputs(size, dtype, masks, bias), OPTIONS[option]) <= TOLERANCE[dtype]


@pytest.mark.parametrize("option", OPTIONS)
def test_the_path_with_a_trained_bias(option):
    for size in SIZES.values():
        inputs = random_inputs(size)
        if "memory_bias" in inputs:
            inputs["memory_bias"].requires_grad_()
        assert difference(inputs, OPTIONS[option]) <= 1e-12


@pytest.mark.parametrize("option", OPTIONS)
def test_gradients(option):
    inputs = random_inputs((2, 4, 2, 5, 3, 6))
    names = [name for name, value in inputs.items() if value.is_floating_point() and "positions" not in name]
    for name in names:
        inputs[name].requires_grad_()
    counts = seen_queries(inputs)

    def attend(*tensors):
        arguments = {**inputs, **dict(zip(names, tensors, strict=True))}
        return memory_attention(**arguments, **OPTIONS[option]) * counts

    assert torch.autograd.gradcheck(attend, [inputs[name] for name in names])


def test_gradients_are_those_of_the_formula():
    for option in OPTIONS.values():
        inputs = random_inputs((2, 4, 2, 5, 3, 6))
        names = [name for name, value in inputs.items() if value.is_floating_point() and "positions" not in name]
        tensors = [inputs[name].requires_grad_() for name in names]
        weight = torch.randn_like(inputs["queries"]) * seen_queries(inputs)
        found, wanted = (
            torch.autograd.grad((function(**inputs, **option) * weight).sum(), tensors, materialize_grads=True)
            for function in (memory_attention, naive_attention)
        )
        for name, left, right in zip(names, found, wanted, strict=True):
            assert (left - right).abs().max() < 1e-12, name


def test_a_row_without_anything_valid_is_finite():
    inputs = random_inputs(SIZES["odd"])
    inputs["valid"][:], inputs["memory_valid"][:] = False, False
    bare = {name: inputs[name] for name in ("queries", "keys", "values")}
    assert (memory_attention(**inputs) - memory_attention(**bare)).abs().max() < 1e-12


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("trained", (False, True))
def test_padding_may_stand_anywhere(option, trained):
    inputs = random_inputs(SIZES["grouped"])
    inputs["valid"] = torch.rand(2, 9) < 0.4
    inputs["valid"][0, 0] = False
    inputs["valid"][:, 5] = True
    if trained:
        inputs["memory_bias"].requires_grad_()
    assert difference(inputs, OPTIONS[option]) <= 1e-12


def test_invalid_entries_and_padding_have_no_say():
    inputs = random_inputs(SIZES["odd"])
    wanted = memory_attention(**inputs) * seen_queries(inputs)
    padded = ~(inputs["valid"] | ~inputs["valid"].any(1, keepdim=True))[:, None, :, None]
    forgotten = ~inputs["memory_valid"][:, None, :, None]
    for name, mask in {"keys": padded, "values": padded, "memory_keys": forgotten, "memory_values": forgotten}.items():
        inputs[name] = torch.where(mask, 1e3, inputs[name])
    assert (memory_attention(**inputs) * seen_queries(inputs) - wanted).abs().max() < 1e-12


def test_a_very_negative_bias_switches_the_memory_off():
    inputs = random_inputs(SIZES["odd"], masks=False)
    inputs["memory_bias"].fill_(-1e4)
    bare = {name: inputs[name] for name in ("queries", "keys", "values")}
    assert (memory_attention(**inputs) - memory_attention(**bare)).abs().max() < 1e-12


def test_no_dropout_is_deterministic_and_dropout_is_not():
    inputs = random_inputs((2, 4, 4, 9, 8, 16), torch.float32)
    plain = memory_attention(**inputs)
    assert torch.equal(memory_attention(**inputs, dropout=0.0), plain)
    dropped = [memory_attention(**inputs, dropout=0.5) for _ in range(400)]
    assert not torch.equal(dropped[0], dropped[1])
    mean = torch.stack(dropped).mean(0)
    assert (mean - plain).abs().mean() < 0.2 * plain.abs().mean(), "dropout keeps the expectation"


def test_half_precision_is_near_the_formula():
    inputs = random_inputs(SIZES["grouped"], torch.float32)
    wanted = naive_attention(**{n: v.double() if v.is_floating_point() else v for n, v in inputs.items()})
    half = {n: v.bfloat16() if v.is_floating_point() and "positions" not in n else v for n, v in inputs.items()}
    for trained in (False, True):
        half["memory_bias"].requires_grad_(trained)
        got = memory_attention(**half)
        assert got.dtype == torch.bfloat16
        assert ((got - wanted) * seen_queries(inputs)).abs().max() < 0.05


FAULTS = {
    "the bias is forgotten": (
        "_attend_with_bias",
        lambda attend: lambda q, k, v, mask, bias, *rest: attend(q, k, v, mask, 0 * bias, *rest),
    ),
    "everything is valid": ("_mask", lambda mask: lambda *arguments: None),
    "heads are paired wrongly": (
        "_repeat_heads",
        lambda repeat: lambda tensor, heads: tensor.repeat(1, heads // tensor.shape[1], 1, 1),
    ),
    "the window is one too wide": (
        "_near",
        lambda near: lambda queries, window, *rest: near(queries, window + 1, *rest),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_noticed(fault, monkeypatch):
    name, make = FAULTS[fault]
    inputs = random_inputs((2, 6, 2, 9, 8, 5))
    inputs["valid"] = torch.arange(9) < torch.tensor([[9], [5]])
    inputs["memory_valid"] = torch.tensor([[True, False, True, True, False]] * 2)
    inputs["memory_positions"] = torch.arange(-5, 0)
    options = {"sliding_window": 4}
    assert difference(inputs, options) <= 1e-12
    monkeypatch.setattr(reference, name, make(getattr(reference, name)))
    assert difference(inputs, options) > 1e-3
