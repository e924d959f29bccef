"""Random problems for memory attention over lines, and what lines mean, place by place."""

import torch

from memenc_kernels import Line, memory_attention_with_log_weight
from tests.kernels.compare import EXACT, larger

# batch, segments, heads, key_value_heads, tokens, dim, (entries, step) of every line
CASES = {
    "one of each": (1, 1, 1, 1, 1, 16, [(1, 1)]),
    "small, grouped": (2, 3, 2, 1, 7, 16, [(15, 7), (1, 1)]),
    "step longer than what is seen": (1, 3, 1, 1, 7, 32, [(7, 15)]),
    "one more than a block": (1, 2, 2, 2, 65, 16, [(63, 65)]),
    "two lines": (1, 2, 2, 1, 15, 48, [(65, 15), (7, 7)]),
    "long window and slots": (1, 2, 1, 1, 63, 80, [(257, 63), (127, 16)]),
    "many segments": (1, 6, 1, 1, 7, 16, [(15, 4)]),
    "no memory": (2, 1, 2, 2, 127, 20, []),
    "long row": (1, 1, 1, 1, 257, 16, [(15, 15)]),
}

OPTIONS = {
    "plain": {},
    "scaled": {"scaling": 0.7},
    "causal": {"causal": True},
    "sliding": {"sliding_window": 9},
    "causal sliding": {"causal": True, "sliding_window": 5},
    "memory outside the window": {"sliding_window": 5, "memory_in_sliding_window": False},
}


def problem(case, dtype=torch.float32, masks=True, device="cpu"):
    """Arguments of memory_attention; with `masks`, rows and documents of every kind: full, some, none valid."""
    batch, segments, heads, groups, tokens, dim, lines = case
    rows = batch * segments

    def random(*shape):
        return torch.randn(shape, device=device).to(dtype)

    valid = torch.rand(rows, tokens, device=device) < 0.6
    valid[-1] = rows == 1
    return {
        "queries": random(rows, heads, tokens, dim),
        "keys": random(rows, groups, tokens, dim),
        "values": random(rows, groups, tokens, dim),
        "valid": valid if masks else None,
        "lines": [line(random, batch, segments, heads, groups, dim, *each, masks) for each in lines],
    }


def line(random, batch, segments, heads, groups, dim, entries, step, masks=True):
    """A line with everything a line can have; nothing is valid for the last segment."""
    head, body = (batch, groups, entries, dim), (batch, segments, groups, step, dim)
    like = random(1)
    valid = torch.rand(batch, segments, entries, device=like.device) < 0.6
    valid[-1, -1] = False
    positions = -torch.rand(entries, device=like.device) * 12 - 0.5
    positions[torch.rand(entries, device=like.device) < 0.3] = torch.nan
    bias = random(heads, entries if entries % 2 else 1)
    return Line(random(*head), random(*head), random(*body), random(*body), valid if masks else None, bias, positions)


def gathered_by_place(lines, rows):
    """The reference's ``memory_*`` arguments, from the definition: segment s sees [s * step, s * step + entries)."""
    segments = rows // len(lines[0].head_keys)

    def seen(each, kind):
        head, body = getattr(each, f"head_{kind}"), getattr(each, f"body_{kind}")
        places = torch.cat([head, *[body[:, segment] for segment in range(body.shape[1])]], dim=2)
        views = [places[:, :, s * each.step : s * each.step + each.entries] for s in range(segments)]
        return torch.stack(views, 1).flatten(0, 1)

    return {
        "memory_keys": torch.cat([seen(each, "keys") for each in lines], 2),
        "memory_values": torch.cat([seen(each, "values") for each in lines], 2),
        "memory_valid": torch.cat([each.valid.flatten(0, 1) for each in lines], 1),
        "memory_bias": torch.cat([each.bias.expand(-1, each.entries) for each in lines], 1),
        "memory_positions": torch.cat([each.positions for each in lines]),
    }


def converted(arguments, change):
    """The same arguments, `change` applied to every floating tensor but positions."""

    def one(name, value):
        return change(value) if torch.is_tensor(value) and value.is_floating_point() and name != "positions" else value

    lines = [Line(**{name: one(name, value) for name, value in vars(each).items()}) for each in arguments["lines"]]
    return {name: one(name, value) for name, value in arguments.items()} | {"lines": lines}


def tensors(arguments):
    """What gradients are asked for, by name."""
    found = {name: arguments[name] for name in ("queries", "keys", "values")}
    for index, each in enumerate(arguments["lines"]):
        parts = {**each.entry_tensors(), "bias": each.bias}
        found |= {f"line {index} {name}": value for name, value in parts.items() if value is not None}
    return found


def everything(arguments, options, weights, implementation, attend=memory_attention_with_log_weight):
    """Output, log weight and all gradients by name, of a loss that both results enter with `weights`."""
    wanted = tensors(arguments)
    output, log_weight = attend(**arguments, **options, implementation=implementation)
    finite = torch.where(log_weight.isfinite(), log_weight, 0.0)
    loss = (output * weights[0].to(output)).sum() + (finite * weights[1].to(finite)).sum()
    gradients = torch.autograd.grad(loss, list(wanted.values()), allow_unused=True, materialize_grads=True)
    return {"output": output.detach(), "log weight": finite.detach(), **dict(zip(wanted, gradients, strict=True))}


def random_weights(arguments):
    """Weights of the loss."""
    queries = arguments["queries"]
    return torch.randn(queries.shape, device=queries.device), torch.randn(
        (*queries.shape[:3], 1), device=queries.device
    )


def differences(arguments, options, weights=None, attend=memory_attention_with_log_weight):
    """Triton's errors by name, beside what is allowed: EXACT in float32, in half twice those of the reference there.

    Args:
        arguments: of `problem`.
        options: one of OPTIONS.
        weights: of the loss; random if left out.
        attend: in place of `memory_attention_with_log_weight`.

    Returns:
        (error, allowed) of every output and gradient whose error is larger.
    """
    weights = weights or random_weights(arguments)
    exact = converted(arguments, lambda tensor: tensor.detach().double().requires_grad_())
    wanted = everything(exact, options, weights, "torch")
    same = converted(arguments, lambda tensor: tensor.detach().requires_grad_())
    found = everything(same, options, weights, "triton", attend)
    allowed = dict.fromkeys(wanted, EXACT)
    if arguments["queries"].dtype != torch.float32:
        rounded = errors(everything(same, options, weights, "torch"), wanted)
        # The reference may be exact by chance, where half precision cannot be.
        allowed = {name: max(2 * each, 4e-3) for name, each in rounded.items()}
    return larger(errors(found, wanted), allowed)


def errors(found, wanted):
    """Error (norm of the difference) of everything, relative to what it is compared with; see `scale`."""
    return {name: float((found[name].double() - each.double()).norm() / scale(each)) for name, each in wanted.items()}


def scale(wanted):
    """The norm; a half where terms, of size one to some tens, cancel: they round by more than what is left of them.

    Numbers that should be zero must be.
    """
    size = wanted.double().norm()
    return size.clamp(min=0.5) if size > 0 else size.new_tensor(1e-3)
