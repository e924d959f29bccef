"""Numbers, states and gradients against each other: what differs is named, with by how much and the seed."""

from __future__ import annotations

import torch
from torch import Tensor

from memenc.model import MemencModel, MemencOutput
from memenc.state import MemoryState, same_shape

Gradients = dict[str, Tensor | None]

# Gradients pass through more sums than outputs do, and random backbones amplify what rounding does to them.
OF_GRADIENTS = 10
# Another shape of the call sums in another order, here in float32.
OTHER_SHAPE = 1e-6
# Why a document may differ in its last bits from batch to batch.
BY_LAYOUT = (
    "a sum over a strided view, such as `segment.keys.mean(2)`, is rounded by its layout, which follows the batch: "
    "call contiguous() before"
)


def require(holds: bool, sentence: str) -> None:
    """Raise AssertionError with the sentence and the seed where it does not hold; no `assert`, which -O takes out."""
    if not holds:
        raise AssertionError(f"{sentence}; seed {torch.initial_seed()}")


def difference(left: Tensor, right: Tensor) -> float:
    """Largest deviation relative to the largest finite number of `right`; infinite where they differ in kind."""
    left, right = left.detach(), right.detach()
    if left.shape != right.shape or left.dtype != right.dtype:
        return float("inf")
    if not left.is_floating_point():
        return 0.0 if torch.equal(left, right) else float("inf")
    finite = right.isfinite()
    if not torch.equal(left.isfinite(), finite) or not torch.equal(left[~finite], right[~finite]):
        return float("inf")
    if not finite.any():
        return 0.0
    left, right = left[finite], right[finite]
    return float((left - right).abs().max() / right.abs().max().clamp(min=1e-30))


def assert_close(left: Tensor, right: Tensor, tolerance: float, what: str = "") -> None:
    """Of the same kind, and at most that far apart (relative)."""
    found = difference(left, right)
    require(found <= tolerance, f"{what} differs by {found:.2e}, allowed {tolerance:.0e}")


def assert_equal(left: Tensor, right: Tensor, what: str) -> None:
    """The same to the bit."""
    if not torch.equal(left, right):
        found = difference(left, right)
        rounded = right.is_floating_point() and found < 100 * torch.finfo(right.dtype).eps
        why = f" ({BY_LAYOUT})" if rounded else ""
        require(False, f"{what} is not bit-identical, it differs by {found:.2e}{why}")


def assert_states_close(left: MemoryState, right: MemoryState, tolerance: float) -> None:
    """Of the same model, and every tensor close."""
    _assert_same_kind(left, right)
    for name, tensor in right.tensors.items():
        assert_close(*same_shape(left.tensors[name], tensor), tolerance, name)


def assert_states_equal(left: MemoryState, right: MemoryState) -> None:
    """Of the same model, and every tensor the same to the bit."""
    _assert_same_kind(left, right)
    for name, tensor in right.tensors.items():
        assert_equal(*same_shape(left.tensors[name], tensor), name)


def _assert_same_kind(left: MemoryState, right: MemoryState) -> None:
    differing = sorted(left.tensors.keys() ^ right.tensors.keys())
    require(not differing, f"{', '.join(differing)} is in one of two states only")
    require(left.fingerprint == right.fingerprint, f"states of two models: {left.fingerprint}, {right.fingerprint}")


def gradients(model: MemencModel, output: MemencOutput) -> Gradients:
    """Gradient by parameter name of a number to which every output contributes, each with another weight."""
    generator = torch.Generator().manual_seed(0)
    total = torch.zeros(()) if output.auxiliary_loss is None else output.auxiliary_loss
    for value in (output.last_hidden_state, output.pooler_output):
        assert value is not None
        total = total + (value * torch.randn(value.shape, generator=generator, dtype=value.dtype)).sum()
    model.zero_grad(set_to_none=True)
    total.backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def assert_gradients_close(left: Gradients, right: Gradients, tolerance: float) -> None:
    """Relative to each parameter's own gradient, or to 1e-3 of the largest one: some are zero but for rounding."""
    largest = max(float(gradient.abs().max()) for gradient in right.values() if gradient is not None)
    for name, wanted in right.items():
        got = left[name]
        if wanted is None or got is None:
            require(got is wanted, f"{name} got a gradient in one schedule only")
            continue
        allowed = tolerance * max(float(wanted.abs().max()), 1e-3 * largest)
        found = float((got - wanted).abs().max())
        require(found <= allowed, f"gradient of {name}: differs by {found:.2e}, allowed {allowed:.2e}")
