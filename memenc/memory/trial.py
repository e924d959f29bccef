"""A first segment for a design from outside: whether its methods fit each other, said by name before any training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from memenc.memory.base import LayerMemory
from memenc.memory.values import Entries, LayerSizes, Retrieved, Segment, State

DOCUMENTS = 2


@torch.no_grad()
def try_out(name: str, memory: LayerMemory) -> None:
    """Read and write two segments of random numbers, once in a model's life.

    Args:
        name: of the design.
        memory: whose parameters are on a device with numbers; it has no tokens in the rows.

    Raises:
        ValueError: what a method gives is not what another one, or attention, takes.
    """
    segment, like = _random_segment(memory)
    state = _called(name, memory.initial_state, DOCUMENTS, like)
    _check_state(name, "initial_state", state)
    for _ in range(2):
        _check_entries(name, memory, _called(name, memory.read, state))
        _check_retrieved(name, memory.sizes, _called(name, memory.retrieve, state, segment.queries))
        # What a careless write would change.
        given = state | {"segment.keys": segment.keys, "segment.values": segment.values}
        before = {key: tensor.clone() for key, tensor in given.items()}
        after = _called(name, memory.write, state, segment)
        _check_state(name, "write", after)
        changed = [key for key, tensor in given.items() if not torch.equal(tensor, before[key])]
        _require(not changed, name, f"write changes {', '.join(changed)} in place; return new tensors")
        _check_written(name, state, after)
        state = after


def _random_segment(memory: LayerMemory) -> tuple[Segment, Tensor]:
    sizes = memory.sizes
    like = next(memory.parameters(), torch.zeros(0))
    generator = torch.Generator().manual_seed(0)

    def tokens(heads: int) -> Tensor:
        return torch.randn(DOCUMENTS, heads, sizes.segment_length, sizes.head_dim, generator=generator).to(like)

    return Segment(tokens(sizes.heads), tokens(sizes.key_value_heads), tokens(sizes.key_value_heads)), like


def _called(name: str, method: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return method(*arguments)
    except Exception as error:  # whatever a design of others raises
        shapes = [", ".join(_kinds(x)) for x in arguments if isinstance(x, dict)]
        state = f" of a state with {shapes[0]}" if shapes else ""
        raise ValueError(f"memory {name!r}: {method.__name__}{state} fails: {type(error).__name__}: {error}") from error


def _kinds(state: State) -> list[str]:
    return [f"{key} {_kind(tensor)}" for key, tensor in state.items()]


def _kind(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def _check_state(name: str, method: str, state: Any) -> None:
    good = isinstance(state, dict) and all(isinstance(x, Tensor) and x.dim() > 0 for x in state.values())
    _require(good, name, f"{method} gives {type(state).__name__}; a state is a dictionary of tensors (documents, ...)")
    for key, tensor in state.items():
        wrong = f"{method} gives {key} {_kind(tensor)}; its first dimension must be the {DOCUMENTS} documents"
        _require(len(tensor) == DOCUMENTS, name, wrong)


def _check_written(name: str, before: State, after: State) -> None:
    forgotten, new = sorted(before.keys() - after.keys()), sorted(after.keys() - before.keys())
    _require(not forgotten, name, f"write forgets {', '.join(forgotten)}, which initial_state gives")
    _require(not new, name, f"write gives {', '.join(new)}, which initial_state does not give")
    for key, old in before.items():
        # A state may grow; it never shrinks.
        longer = old.dim() == after[key].dim() and all(x <= y for x, y in zip(old.shape, after[key].shape, strict=True))
        fits = longer and old.dtype == after[key].dtype
        _require(fits, name, f"write makes {key} {_kind(after[key])} of {_kind(old)}; shape and type must stay")


def _check_entries(name: str, memory: LayerMemory, found: Any) -> None:
    if found is None:
        return
    _require(isinstance(found, Entries), name, f"read gives {type(found).__name__}; give Entries, or None for none")
    sizes, positions = memory.sizes, memory.positions(found.keys.device)
    count = found.keys.shape[2] if found.keys.dim() == 4 else 0
    wanted = DOCUMENTS, sizes.key_value_heads, count, sizes.head_dim
    for key, tensor, shape in (
        ("keys", found.keys, wanted),
        ("values", found.values, wanted),
        ("valid", found.valid, (DOCUMENTS, count)),
        ("bias", found.bias, (sizes.heads, count)),
    ):
        good = tensor is None or tuple(tensor.shape) == shape
        _require(good, name, f"read gives {key} {tensor is not None and _kind(tensor)}; their shape must be {shape}")
    _require(found.valid.dtype == torch.bool, name, f"read gives valid {_kind(found.valid)}; it must be bool")
    _require(positions is not None, name, "read gives entries, but positions gives None, so nobody would see them")
    good = positions is not None and tuple(positions.shape) == (count,) and bool((positions < 0).all())
    _require(good, name, f"positions gives {positions}; give one number below 0 for each of the {count} entries")


def _check_retrieved(name: str, sizes: LayerSizes, found: Any) -> None:
    good = isinstance(found, tuple) and all(isinstance(each, Retrieved) for each in found)
    _require(good, name, f"retrieve gives {type(found).__name__}; give a tuple of Added, Mixed or Joined")
    wanted = DOCUMENTS, sizes.heads, sizes.segment_length, sizes.head_dim
    for each in found:
        fits = tuple(each.values.shape) == wanted
        _require(fits, name, f"retrieve gives values {_kind(each.values)}; their shape must be {wanted}")


def _require(good: bool, name: str, sentence: str) -> None:
    if not good:
        raise ValueError(f"memory {name!r}: {sentence}")
