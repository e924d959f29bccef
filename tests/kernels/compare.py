"""Triton against the torch reference in float64: every output, every gradient."""

from contextlib import nullcontext

import torch

from tests.kernels.guards import guarded_results, reversed_programs

EXACT = 1e-5
# What torch checks of an operator; the rest is what compiling it checks.
OPERATOR_CHECKS = ("test_schema", "test_autograd_registration", "test_faketensor")


def error(found, wanted, least=1e-30):
    """Largest difference, relative to the largest number, or `least`; none is allowed in shapes and whole numbers."""
    if found.shape != wanted.shape or (not wanted.is_floating_point() and not torch.equal(found, wanted)):
        return float("inf")
    if wanted.numel() == 0:
        return 0.0
    same = wanted.isinf() & (found == wanted)
    gap = (found.double() - wanted.double()).masked_fill(same, 0.0).abs()
    size = wanted[wanted.isfinite()].abs().max() if wanted.isfinite().any() else 1.0
    return float(gap.max() / max(float(size), least)) if not gap.isnan().any() else float("inf")


def run(function, inputs, options, weights, implementation):
    """Outputs, and gradients of all inputs in floating point, by name."""
    leaves = {n: x.detach().requires_grad_() if x.is_floating_point() else x for n, x in inputs.items()}
    results = function(**leaves, **options, implementation=implementation)
    results = results if isinstance(results, tuple) else (results,)
    found = {f"output {place}": result.detach() for place, result in enumerate(results)}
    wanted = [result for result in results if result.requires_grad]
    ways = [weight for weight, result in zip(weights, results, strict=True) if result.requires_grad]
    names = [name for name, leaf in leaves.items() if leaf.requires_grad]
    ways = [
        way.to(result.dtype) if way.dtype != result.dtype else way for way, result in zip(ways, wanted, strict=True)
    ]
    gradients = torch.autograd.grad(wanted, [leaves[n] for n in names], ways, materialize_grads=True)
    return found | {f"gradient of {name}": found for name, found in zip(names, gradients, strict=True)}


def converted(inputs, dtype):
    return {name: x.to(dtype) if x.is_floating_point() else x for name, x in inputs.items()}


def differences(function, inputs, options, weights=None, guarded=True, reverse=False, tolerance=EXACT):
    """Errors by name, beside what is allowed: `tolerance`, or twice the error of torch in the same types.

    Args:
        function: takes inputs and options by name, and `implementation`.
        inputs: tensors by name.
        options: what is no tensor.
        weights: gradients of the outputs; random if left out.
        guarded: put guard bands of NaN round everything.
        reverse: run programs in reverse order, which the interpreter can.
        tolerance: in float32.

    Returns:
        (error, allowed) of every output and gradient whose error is larger.
    """
    if weights is None:
        shapes = function(**inputs, **options, implementation="torch")
        weights = [torch.randn_like(x) if x.is_floating_point() else None for x in astuple(shapes)]
    wanted = run(function, converted(inputs, torch.float64), options, weights, "torch")
    with guarded_results() if guarded else nullcontext() as guards, reversed_programs() if reverse else nullcontext():
        given = {name: guards.around(x) for name, x in inputs.items()} if guarded else inputs
        found = run(function, given, options, weights, "triton")
    rounded = run(function, inputs, options, weights, "torch")
    reference = {name: error(rounded[name], result) for name, result in wanted.items()}
    # Where terms of size one cancel, no digit of what is left is right, and twice the rounding of torch is luck.
    least = dict.fromkeys(reference, 0.1)
    allowed = {name: max(tolerance, 2 * each) if each < 1 else tolerance for name, each in reference.items()}
    return larger({name: error(found[name], result, least[name]) for name, result in wanted.items()}, allowed)


def larger(errors, allowed):
    """Errors that are larger than what is allowed under their name, or no numbers, beside that."""
    return {name: (found, allowed[name]) for name, found in errors.items() if not found <= allowed[name]}


def astuple(results):
    return results if isinstance(results, tuple) else (results,)
