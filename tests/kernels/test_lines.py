"""Lines mean what they say: the gathering reference against the definition, and what is refused."""

from dataclasses import replace

import pytest
import torch

from memenc_kernels import Line, memory_attention, memory_attention_with_log_weight
from memenc_kernels.memory_attention import gather, reference
from tests.kernels.lines import CASES, OPTIONS, converted, everything, gathered_by_place, problem, random_weights

WITH_LINES = {name: case for name, case in CASES.items() if case[-1]}


def difference(arguments, options):
    """Largest difference to the definition."""
    rows = {name: arguments[name] for name in ("valid",)} | gathered_by_place(
        arguments["lines"], len(arguments["queries"])
    )
    three = [arguments[name] for name in ("queries", "keys", "values")]
    got = memory_attention(**arguments, **options)
    return (got - reference.attention(*three, **rows, **options)).abs().max()


@pytest.mark.parametrize("case", WITH_LINES)
@pytest.mark.parametrize("option", OPTIONS)
def test_lines_are_what_the_definition_says(case, option):
    assert difference(problem(WITH_LINES[case], torch.float64), OPTIONS[option]) < 1e-12


def test_a_wrong_view_is_noticed(monkeypatch):
    arguments = problem(CASES["many segments"], torch.float64)
    original = gather._seen
    monkeypatch.setattr(gather, "_seen", lambda *given: original(*given).roll(1, dims=1))
    assert difference(arguments, {}) > 0.01


def test_log_weight_is_that_of_the_softmax():
    arguments = problem(CASES["two lines"], torch.float64)
    ones = {name: torch.ones_like(arguments[name]) for name in ("values",)}
    doubled = arguments["queries"].new_tensor(2.0).log()
    _, weight = memory_attention_with_log_weight(**arguments)
    lines = [replace(each, bias=each.bias + doubled) for each in arguments["lines"]]
    attended, with_doubled = memory_attention_with_log_weight(**{**arguments, **ones, "lines": lines})
    # Doubling the weight of memory adds the memory's weight once more.
    only_memory = (with_doubled.exp() - weight.exp()) / with_doubled.exp()
    zeros = [replace(each, head_values=0 * each.head_values, body_values=0 * each.body_values) for each in lines]
    share = 1 - memory_attention(**{**arguments, **ones, "lines": zeros})
    assert (share[..., :1] - 2 * only_memory).abs().max() < 1e-12 and attended.isfinite().all()


def test_rows_of_their_own_are_a_line_without_copies():
    batch, segments, heads, entries, dim = 2, 3, 2, 5, 4
    keys, values = torch.randn(2, batch, segments, heads, entries, dim, dtype=torch.float64)
    queries = torch.randn(batch * segments, heads, 7, dim, dtype=torch.float64)
    own = torch.randn(2, *queries.shape, dtype=torch.float64)
    line = Line.of_rows(keys, values)
    got = memory_attention(queries, *own, lines=[line])
    rows = {"memory_keys": keys.flatten(0, 1), "memory_values": values.flatten(0, 1)}
    assert (got - reference.attention(queries, *own, **rows)).abs().max() < 1e-12
    assert line.head_keys.data_ptr() == keys.data_ptr() and line.body_values.data_ptr() == values[:, 1].data_ptr()


def test_gradients_reach_every_tensor_of_a_line():
    arguments = converted(problem(CASES["many segments"], torch.float64, masks=False), torch.Tensor.requires_grad_)
    found = everything(arguments, {}, random_weights(arguments), "torch")
    for name in ("keys", "values"):
        gradient = found[f"line 0 body_{name}"]
        assert gradient[:, :-1].abs().sum((0, 2, 3, 4)).min() > 0
        assert gradient[:, -1].abs().max() == 0, "nobody sees what the last segment appends"
    assert all(gradient.abs().max() > 0 for gradient in found.values())


def test_empty_lines_are_left_out():
    arguments = problem(CASES["no memory"])
    nothing = torch.randn(2, 2, 0, 20)
    wanted = memory_attention(**arguments)
    assert torch.equal(memory_attention(**{**arguments, "lines": [Line(nothing, nothing)]}), wanted)


REFUSED = {
    "has 1 along batch": lambda line: replace(line, valid=line.valid[:1]),
    "is torch.float32": lambda line: replace(line, valid=line.valid.float()),
    "no body_keys": lambda line: replace(line, body_keys=None, body_values=None),
    "one of body_keys": lambda line: replace(line, body_keys=None),
    "need what 2 of them": lambda line: replace(
        line, body_keys=line.body_keys[:, :1], body_values=line.body_values[:, :1]
    ),
    "along dim": lambda line: replace(line, head_values=line.head_values[..., :3]),
    "bias has the shape": lambda line: replace(line, bias=line.bias[:1]),
    "positions has the shape": lambda line: replace(line, positions=line.positions[:2]),
    "torch.float64": lambda line: replace(line, head_keys=line.head_keys.double()),
}


@pytest.mark.parametrize("message", REFUSED)
def test_lines_that_do_not_fit_are_refused(message):
    arguments = problem(CASES["small, grouped"])
    first, second = arguments["lines"]
    match = message.replace("has 1 along", "is 1 along")
    with pytest.raises(ValueError, match=match):
        memory_attention(**{**arguments, "lines": [REFUSED[message](first), second]})


def test_arguments_that_do_not_fit_are_refused():
    arguments = problem(CASES["small, grouped"])
    with pytest.raises(ValueError, match="cannot share evenly"):
        memory_attention(
            **{
                **arguments,
                "queries": arguments["queries"][:, :1].expand(-1, 3, -1, -1),
                "lines": (),
                "keys": arguments["keys"].expand(-1, 2, -1, -1),
                "values": arguments["values"].expand(-1, 2, -1, -1),
            }
        )
    with pytest.raises(ValueError, match="values has the shape"):
        memory_attention(**{**arguments, "values": arguments["values"][:, :, :3]})
    with pytest.raises(ValueError, match="of \\[2, 1\\] documents"):
        one = arguments["lines"][1]
        short = replace(one, head_keys=one.head_keys[:1], head_values=one.head_values[:1])
        memory_attention(**{**arguments, "lines": [arguments["lines"][0], short]})
    with pytest.raises(ValueError, match='implementation="triton" cannot run'):
        memory_attention(**arguments, implementation="triton", dropout=0.1)
