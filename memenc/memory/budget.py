"""Designs at equal state: choose the sizes of a memory so that its state fits a number of bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from memenc.memory import build_memory, design_named, designs_of
from memenc.memory.base import LayerMemory
from memenc.memory.values import LayerSizes

OPTION = "budget_bytes"
LARGEST = 1 << 24


def state_bytes(memory: LayerMemory) -> int:
    """Bytes of one document's state in float32 before anything was read; what grows is empty then."""
    like = torch.empty(0, device="meta")
    return sum(tensor.nbytes for tensor in memory.to("meta").initial_state(1, like).values())


def within_budget(name: str, parts: Sequence[LayerSizes], options: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Options in which ``budget_bytes``, if it is there, has become the sizes it allows.

    The budget is of one document's state in float32, all layers with a memory and the one over the top together. A
    composition shares it equally among its designs, unless one of them has a budget of its own; what one of them has no
    use for goes to the others.

    Args:
        name: of the design.
        parts: sizes of every layer with a memory, and over the top.
        options: of the design.

    Raises:
        ValueError: the smallest memory of this design is larger, or it has one size only and is larger.
    """
    if options is None:
        return None
    budget, options = budget_in(options), _sizes_in(options)
    names = name.split("+")
    if len(names) > 1:
        given = {part: dict(options.pop(part, None) or {}) for part in names}
        if budget is not None:
            return options | shared_budget(dict.fromkeys(names, parts), given, budget)
        return options | {part: within_budget(part, parts, each) for part, each in given.items()}
    if budget is None:
        return options
    designs_of(name, options)
    return options | _largest(name, parts, options, budget)


def refuse_idle_budget(
    name: str, parts: Sequence[LayerSizes], options: Mapping[str, Any] | None, chosen: Mapping[str, Any] | None
) -> None:
    """Refuse a budget beside sizes that leave most of it unused, since it would seem to have chosen them.

    Args:
        name: of the design.
        parts: sizes of every layer with a memory, and over the top.
        options: of the design, as they were given.
        chosen: options within the budget.

    Raises:
        ValueError: there is one.
    """
    options, chosen, names = options or {}, chosen or {}, name.split("+")
    if len(names) > 1:
        for part in names:
            refuse_idle_budget(part, parts, options.get(part), chosen.get(part))
    budget = budget_in(options)
    if budget is None:
        return
    by_part = [(part, options, chosen) for part in names]
    if len(names) > 1:
        by_part = [(part, options.get(part) or {}, chosen.get(part) or {}) for part in names]
    sizes = {key: size for part, given, _ in by_part for key, size in _sizes_of(part, parts, given).items()}
    needed = sum(_needed(part, parts, dict(found)) for part, _, found in by_part)
    if sizes and 2 * needed < budget:
        raise ValueError(
            f"memory {name!r} with {_said(sizes)} takes {needed} of {OPTION}={budget}, which chooses nothing more; "
            "leave out the sizes, so that it chooses them, or the budget"
        )


def budget_in(options: Mapping[str, Any]) -> int | None:
    """The budget among the options, if there is one.

    Raises:
        ValueError: it is no whole number of bytes.
    """
    budget = options.get(OPTION)
    if budget is not None and (not isinstance(budget, int) or isinstance(budget, bool) or budget < 1):
        raise ValueError(f"memory option {OPTION}={budget!r}: give a whole number of bytes")
    return budget


def shared_budget(
    places: Mapping[str, Sequence[LayerSizes]], given: Mapping[str, Mapping[str, Any]], budget: int
) -> dict[str, dict[str, Any]]:
    """Options of designs that share a budget equally, but for those that need more at least or have no use for so much.

    Args:
        places: sizes of every place with state, by design.
        given: options by design; one that has a budget of its own keeps it, and takes it from the whole.
        budget: bytes.

    Raises:
        ValueError: the smallest memories of the designs are larger together.
    """
    shares = {name: _least(name, places[name], each) for name, each in given.items()}
    own = {name: own for name, each in given.items() if (own := budget_in(each)) is not None}
    least = sum((shares | own).values())
    if least > budget:
        by_part = [_sizes_of(part, places[part], each) for part, each in given.items()]
        sizes = {name: size for each in by_part for name, size in each.items()}
        raise _too_small(budget, "+".join(given), max(map(len, places.values())), least, sizes)
    sharing, left = [name for name in given if name not in own], budget - sum(own.values())
    # Whoever needs more than an equal share has what it needs, and the others share the rest: until nobody does.
    while needy := [name for name in sharing if shares[name] > left // len(sharing)]:
        sharing = [name for name in sharing if name not in needy]
        left -= sum(shares[name] for name in needy)
    shares |= own | {name: left // len(sharing) for name in sharing}

    def within(name: str, share: int) -> dict[str, Any]:
        return within_budget(name, places[name], {**given[name], OPTION: share}) or {}

    found = {name: within(name, share) for name, share in shares.items()}
    for name in [name for name in given if name not in own]:
        needed = {part: _needed(part, places[part], each) for part, each in found.items()}
        found[name] = within(name, budget - sum(needed.values()) + needed[name])
    return found


def _largest(name: str, parts: Sequence[LayerSizes], options: dict[str, Any], budget: int) -> dict[str, Any]:
    def needed(size: int) -> int:
        return _needed(name, parts, _sized(name, parts, size, options) | options)

    least, sized = needed(1), _sized(name, parts, 1, options)
    if least > budget:
        raise _too_small(budget, name, len(parts), least, _sizes_of(name, parts, options))
    if sized.keys() <= options.keys():
        # One size only: it fits, and there is nothing to choose.
        return {}
    low, high = 1, 2
    while high < LARGEST and needed(high) <= budget:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if needed(middle) <= budget else (low, middle)
    return {key: value for key, value in _sized(name, parts, low, options).items() if key not in options}


def _least(name: str, parts: Sequence[LayerSizes], options: Mapping[str, Any]) -> int:
    options = _sizes_in(options)
    return _needed(name, parts, _sized(name, parts, 1, options) | options)


def _sizes_in(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key != OPTION}


def _sizes_of(name: str, parts: Sequence[LayerSizes], options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the options that a budget would choose."""
    return {key: options[key] for key in _sized(name, parts, 1, dict(options)) if options.get(key) is not None}


def _said(sizes: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={size}" for name, size in sizes.items())


def _too_small(budget: int, name: str, places: int, least: int, sizes: Mapping[str, Any]) -> ValueError:
    given = f" with {_said(sizes)}" if sizes else ""
    other = "leave out the sizes that are given, so that it chooses them; or " if sizes else ""
    return ValueError(
        f"{OPTION}={budget} is too small for memory {name!r}{given} in {places} places, which needs at least {least} "
        f"bytes per document; {other}give it more, fewer layers (memory_layers), or another design"
    )


def _sized(name: str, parts: Sequence[LayerSizes], size: int, options: dict[str, Any]) -> dict[str, Any]:
    design, chosen = design_named(name), {}
    for part in (design.layer, design.top):
        if part is not None:
            chosen |= part.sized(parts[0], size, options)
    return chosen


def _needed(name: str, parts: Sequence[LayerSizes], options: dict[str, Any]) -> int:
    with torch.device("meta"):
        return sum(state_bytes(build_memory(name, sizes, options)) for sizes in parts)
