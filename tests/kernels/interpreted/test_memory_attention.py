"""Memory attention in Triton against the reference in float64, output, log weight and every gradient."""

from dataclasses import replace

import pytest
import torch

from memenc_kernels import memory_attention, memory_attention_with_log_weight
from memenc_kernels.memory_attention import launcher, operators
from tests.kernels.compare import EXACT
from tests.kernels.guards import Guards, far_apart, guarded_results, reversed_programs
from tests.kernels.lines import (
    CASES,
    OPTIONS,
    converted,
    differences,
    everything,
    problem,
    random_weights,
    scale,
    tensors,
)


@pytest.mark.parametrize("case", CASES)
def test_all_sizes(case):
    assert not differences(problem(CASES[case]), {})


@pytest.mark.parametrize("option", OPTIONS)
def test_all_options(option):
    assert not differences(problem(CASES["small, grouped"]), OPTIONS[option])


def test_options_across_blocks():
    assert not differences(problem(CASES["one more than a block"]), OPTIONS["causal sliding"])


def test_without_masks_and_bias():
    for name in ("small, grouped", "no memory"):
        arguments = problem(CASES[name], masks=False)
        assert not differences(
            {**arguments, "lines": [replace(each, bias=None, positions=None) for each in arguments["lines"]]}, {}
        )


def test_half_precision_rounds_as_the_reference_does():
    for name in ("small, grouped", "one more than a block"):
        assert not differences(problem(CASES[name], torch.float16), OPTIONS["causal sliding"])


def test_empty_documents_and_padded_segments():
    arguments = problem(CASES["small, grouped"])
    arguments["valid"][:3] = False
    for each in arguments["lines"]:
        each.valid[0] = False
    assert not differences(arguments, {})
    # A first token that sees neither itself nor any memory: zeros, as in the reference.
    arguments["valid"][:] = True
    arguments["valid"][0, 0] = False
    assert not differences(arguments, {"causal": True})
    assert memory_attention(**arguments, causal=True)[0, :, 0].abs().max() == 0


def strided(tensor):
    """The same numbers, no axis but the last where it usually lies."""
    if tensor.dim() < 3:
        return tensor
    wide = (
        torch.full((*tensor.shape[:-1], tensor.shape[-1] + 3), torch.nan).transpose(0, 1).contiguous().transpose(0, 1)
    )
    wide[..., : tensor.shape[-1]] = tensor
    return wide[..., : tensor.shape[-1]]


def test_strided_and_expanded_inputs():
    assert not differences(converted(problem(CASES["small, grouped"]), strided), {})
    arguments = problem(CASES["small, grouped"])
    arguments["lines"] = [
        replace(
            each,
            head_keys=each.head_keys[:, :, :1].expand_as(each.head_keys),
            body_values=each.body_values[:1, :1].expand_as(each.body_values),
        )
        for each in arguments["lines"]
    ]
    assert not differences(arguments, {})
    turned = problem(CASES["small, grouped"])
    turned["keys"] = turned["keys"].transpose(2, 3).contiguous().transpose(2, 3)
    assert not differences(turned, {})


def test_expanded_gradients():
    arguments = problem(CASES["small, grouped"])
    ones = [torch.ones(()).expand(weight.shape) for weight in random_weights(arguments)]
    assert not differences(arguments, {}, ones)
    found = converted(arguments, lambda tensor: tensor.detach().requires_grad_())
    memory_attention(**found).sum().backward()
    exact = converted(arguments, lambda tensor: tensor.detach().double().requires_grad_())
    memory_attention(**exact, implementation="torch").sum().backward()
    for name, tensor in tensors(exact).items():
        assert (tensors(found)[name].grad - tensor.grad).norm() <= EXACT * scale(tensor.grad), name


def test_nothing_beside_the_buffers_is_read_or_written():
    guards = Guards()
    for name in ("small, grouped", "one more than a block", "step longer than what is seen"):
        arguments = converted(problem(CASES[name]), lambda tensor: guards.around(tensor.contiguous()))
        arguments["valid"] = guards.around(arguments["valid"])
        with guarded_results():
            assert not differences(arguments, {})
    assert guards.overwritten() == 0


def test_any_order_of_programs_gives_the_same_bits():
    arguments = converted(problem(CASES["two lines"]), torch.Tensor.requires_grad_)
    weights = random_weights(arguments)
    forwards = everything(arguments, {}, weights, "triton")
    with guarded_results(), reversed_programs():
        backwards = everything(arguments, {}, weights, "triton")
    assert all(torch.equal(forwards[name], backwards[name]) for name in forwards)


def test_offsets_beyond_32_bits():
    plain = problem((1, 3, 1, 1, 3, 16, [(2, 2)]))
    far = {**plain, "keys": far_apart(plain["keys"], 0, 2**30 + 16)}
    line = plain["lines"][0]
    far["lines"] = [
        replace(
            line, body_keys=far_apart(line.body_keys, 1, 2**30 + 16), head_values=far_apart(line.head_values, 2, 2**31)
        )
    ]
    assert not differences(far, {})


def in_lines(change):
    """A fault in every line."""
    return lambda given: {"lines": [replace(each, **change(each)) for each in given["lines"]]}


# Each is a wrong argument that fits all the same, so kernels stay within their buffers whatever they do with it.
FAULTS = {
    "the window is one too wide": lambda given: {"sliding_window": given["sliding_window"] + 1},
    "everything is valid": lambda given: {"valid": None},
    "tokens see later ones": lambda given: {"causal": False},
    "keys have no gradient": lambda given: {"keys": given["keys"].detach()},
    "segments look too far": in_lines(lambda line: {"body_keys": line.body_keys.roll(1, 1)}),
    "documents are mixed up": in_lines(lambda line: {"head_values": line.head_values.roll(1, 0)}),
    "the bias is forgotten": in_lines(lambda line: {"bias": None}),
    "invalid entries are seen": in_lines(lambda line: {"valid": None}),
    "entries lie elsewhere": in_lines(lambda line: {"positions": line.positions - 2}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_noticed(fault):
    size, options = (2, 3, 2, 1, 7, 16, [(7, 7)]), {"sliding_window": 5, "causal": True}

    def faulty(implementation, **given):
        changed = given | FAULTS[fault](given) if implementation == "triton" else given
        return memory_attention_with_log_weight(**changed, implementation=implementation)

    # Random masks may hide the place that a fault touches.
    assert any(differences(problem(size), options, attend=faulty) for _ in range(5))


def test_guards_notice_one_token_too_many(monkeypatch):
    arguments = problem((1, 1, 1, 1, 7, 16, []), masks=False)
    # There is one token more to be read.
    arguments = converted(arguments, lambda tensor: torch.cat([tensor, tensor[:, :, :1]], 2)[:, :, :7])
    original = launcher._seen
    monkeypatch.setattr(launcher, "_seen", lambda *given: original(*given)._replace(tokens=8))
    with pytest.raises(AssertionError, match="beside a buffer"), guarded_results():
        memory_attention(**arguments)


def flat_arguments(arguments):
    """Positional arguments of the operator."""
    parts = [getattr(each, name) for each in arguments["lines"] for name in operators.PARTS]
    flat = [arguments[name] for name in ("queries", "keys", "values", "valid")] + parts
    return (*flat, *[None] * (operators._COUNT - len(flat)), 0.25, False, 5)


def test_the_operator_is_one_that_torch_can_trace():
    arguments = converted(problem(CASES["small, grouped"]), torch.Tensor.requires_grad_)
    arguments["lines"] = [replace(x, bias=x.bias.detach().expand(-1, x.entries)) for x in arguments["lines"]]
    torch.library.opcheck(torch.ops.memenc_kernels.memory_attention.default, flat_arguments(arguments))


def test_compiled_without_a_break_in_the_graph():
    arguments = converted(problem(CASES["small, grouped"]), torch.Tensor.requires_grad_)
    lines, valid = arguments["lines"], arguments["valid"]

    def loss(queries, keys, values):
        output, weight = memory_attention_with_log_weight(
            queries, keys, values, lines=lines, valid=valid, implementation="triton"
        )
        return (output * 2).sum() + torch.where(weight.isfinite(), weight, 0.0).sum()

    three = [arguments[name] for name in ("queries", "keys", "values")]
    plain = torch.autograd.grad(loss(*three), three)
    compiled = torch.autograd.grad(torch.compile(loss, fullgraph=True, backend="aot_eager")(*three), three)
    for left, right in zip(plain, compiled, strict=True):
        assert (left - right).abs().max() <= 1e-5 * left.abs().max()


def test_what_the_kernel_cannot_do_is_refused():
    three = problem((1, 1, 1, 1, 3, 16, [(2, 2), (3, 3), (1, 1)]))
    with pytest.raises(ValueError, match="3 lines of memory"):
        memory_attention(**three)
    with pytest.raises(ValueError, match=r"dropout is 0\.5"):
        memory_attention(**problem(CASES["one of each"]), dropout=0.5)
    with pytest.raises(ValueError, match="300 dimensions"):
        memory_attention(**problem((1, 1, 1, 1, 3, 300, [])))
    with pytest.raises(ValueError, match="float64"):
        memory_attention(**problem(CASES["one of each"], torch.float64))
