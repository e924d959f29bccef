"""What the numbers of a memory mean: thresholds, and a sentence for everything that is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite
from typing import TYPE_CHECKING

from memenc.diagnostics.drift import Usage
from memenc.diagnostics.gradient_reach import Gradients
from memenc.diagnostics.knockout import ROUNDING, Effect, Knockout, Place

if TYPE_CHECKING:
    from memenc.diagnostics.liveness import Liveness, PlaceLiveness

# Without any memory token states are to change more than this; by 1e-3 to 1e-1 without a fresh one, made to disturb
# little. What weighs 1e-4 of what a token sees decides nothing, and is within the rounding of half precision.
NOTHING = 1e-4
# Keys that differ by a hundredth of their length count as 1.03, all different ones as many as they are.
ALL_THE_SAME = 1.05
# A sum over segments grows with exponent 1; x 1.05 per segment passes 1.5 within some 70 segments.
EXPLODES = 1.5
# Share of its largest norm to which a state may fall while it is written to.
FADES = 1e-3
# Share of a gate's logits above which it is flat: single heads may have good reason to be shut.
MANY = 0.5
SHOWN = 6


def silent_parts(
    knocked: dict[str, Knockout], all_of_it: Effect, found: Gradients, places: Sequence[Place]
) -> set[str]:
    """What is without effect, content or gradient where there must be some: ``"effect of layer 0"``."""
    silent = {f"parameter {name}" for name, norm in found.parameters.items() if norm == 0}
    for place in places:
        empty, foreign = knocked[place.name].empty, knocked[place.name].foreign
        if place.heard is not None and getattr(empty, place.heard) < ROUNDING:
            silent.add(f"effect of {place.name}")
        if place.heard is not None and foreign is not None and getattr(foreign, place.heard) < ROUNDING:
            silent.add(f"content of {place.name}")
        if place.heard is not None and found.places[place.name] == 0:
            silent.add(f"gradient of {place.name}")
    if any(place.heard == "tokens" for place in places):
        if all_of_it.tokens < NOTHING:
            silent.add("effect of all")
        if found.reach[0] == 0:
            silent.add("gradient of all")
    return silent


def problems_of(found: Liveness) -> list[str]:
    """All problems, the ones that explain others first."""
    if not found.places:
        return []
    return [
        *_broken(found),
        *(sentence for place in found.places for sentence in _of_place(found, place)),
        *_of_all(found),
        *_of_horizon(found),
        *_of_gates(found),
        *_of_parameters(found),
    ]


def _broken(found: Liveness) -> Iterator[str]:
    if found.non_finite:
        yield (
            f"NaN or infinity in {_listed(found.non_finite)}: look at the first of these, keep its state in float32, "
            "and lower the learning rate if it comes from training."
        )
    if found.padding:
        yield (
            f"Padding is written: {_listed(found.padding)} changed while no full segment was read; a write must keep "
            "the state of documents that do not complete the segment."
        )
    if found.readings.neighbours:
        yield (
            f"Documents see their neighbours: {_listed(found.readings.neighbours)} of a document changed with the "
            "others in its batch; look for a mean or a norm over the batch."
        )
    if found.readings.again:
        yield (
            f"Something is kept outside the state: {_listed(found.readings.again)} differed when the same documents "
            "were read again; what a memory holds must come in and go out as its state."
        )
    elif found.readings.piecewise:
        yield (
            f"It matters how a document is handed over: {_listed(found.readings.piecewise)} differed when it was read "
            "segment by segment instead of in one call; a call of one segment must write like any other."
        )
    for left, right in found.shared:
        yield f"{left} and {right} hold exactly the same state: they must not share it; give each layer its own."
    if found.misplaced:
        yield (
            f"Entries of {_listed(found.misplaced)} lie in the segment that reads them or behind it: give them "
            "negative positions, -1 being the place before its first token."
        )


def _of_place(found: Liveness, place: PlaceLiveness) -> Iterator[str]:
    """What is wrong with one memory; what was never written needs no second sentence."""
    name, silent = place.name, set(found.silent) - set(found.asleep)
    if place.written == 0:
        yield f"{name} is never written: its state is still the initial one after {found.segments} segments."
        return
    if f"effect of {name}" in silent:
        yield (
            f"{name} has no effect: emptying it changes the {_output(place)} by {_effect(place):.1e}; look at its "
            "gates and biases, and whether it is read at all."
        )
    elif f"gradient of {name}" in silent:
        yield (
            f"{name} gets no gradient: the {_output(place)} depends on it, but nothing flows back to what was written; "
            "look for a detach or no_grad in its read or write."
        )
    elif place.detached:
        yield (
            f"{name} gets no gradient by {_listed(place.detached)}: the {_output(place)} depends on it, but nothing "
            "flows back to what was written; look for a detach or no_grad in its write."
        )
    if f"content of {name}" in silent and f"effect of {name}" not in silent:
        yield (
            f"{name} says nothing of the document: what another document left there does as well; look at what its "
            "write takes from the segment."
        )
    elif place.retains and place.carried == 0:
        yield (
            f"{name} forgets everything: what it holds after a segment does not depend on what it held before; its "
            "write must start from the state it is given."
        )
    elif place.retains and place.gradient_carried == 0:
        yield f"{name} cuts the gradient between segments: its write keeps the old state but detaches it."
    yield from _of_state(found, place)


def _of_state(found: Liveness, place: PlaceLiveness) -> Iterator[str]:
    if place.usage is not None and place.usage.valid > 0 and place.usage.values == 0:
        yield f"The values of {place.name} are all zero: what is read from its entries is nothing; look at its write."
    if _collapsed(place.usage):
        yield f"The entries of {place.name} are all the same: {_described(place.usage)}; give each slot an identity."
    elif _collapsed(place.later_usage):
        yield (
            f"The entries of {place.name} become all the same in {found.long_reading[-1]} segments: "
            f"{_described(place.later_usage)}; give each slot an identity, or update fewer at a time."
        )
    if place.growth > EXPLODES and all(isfinite(norms[0]) for norms in place.norms.values()):
        yield (
            f"The state of {place.name} explodes: from {found.long_reading[0]} to {found.long_reading[-1]} segments a "
            f"norm grew {_factor(place):.1e} times, with the exponent {place.growth:.1f} at the end (1 for a sum); "
            "normalise what is written, or let it decay."
        )
    elif place.retains and (name := _faded(place)):
        yield (
            f"The state of {place.name} fades: from {found.long_reading[0]} to {found.long_reading[-1]} segments "
            f"{name} fell to {_share_left(place.norms[name]):.1e} of its largest norm; what is written there must "
            "last as long as it is to be remembered."
        )


def _of_all(found: Liveness) -> Iterator[str]:
    silent = set(found.silent) - set(found.asleep)
    if "effect of all" in silent and found.effect is not None:
        yield (
            f"The memory does nothing: without any of it token states change by {found.effect.tokens:.1e} (by "
            "1e-03 to 1e-01 without a fresh one); train with documents of several segments, and a higher "
            "learning rate for gates."
        )
    if "gradient of all" in silent:
        yield "No gradient reaches the segment before: the state is cut off from what it was written from."
    if found.idle_loss:
        yield (
            "The memory's own loss trains nothing: no parameter gets a gradient from it; look for what cuts it off "
            "from the weights it is meant for."
        )


def _of_horizon(found: Liveness) -> Iterator[str]:
    horizon = found.horizon
    if horizon is None:
        return
    if horizon.beyond > 0:
        yield (
            f"bptt_segments has no effect: gradient goes back beyond a horizon of {horizon.segments} segments, "
            f"{horizon.beyond:.1e} of what a segment's own tokens get; look for a detach whose result is not used, or "
            "for a scan that leaves out the cuts of its plan."
        )
    if horizon.within == 0 and found.reach[0] > 0:
        yield (
            f"bptt_segments cuts too much: within a horizon of {horizon.segments} segments no gradient reaches the "
            "segment before; cut only where the plan does."
        )


def _of_gates(found: Liveness) -> Iterator[str]:
    for gate in found.gates:
        if gate.saturated is not None and gate.saturated > MANY:
            yield (
                f"{gate.name} is saturated: logits from {gate.low:.1f} to {gate.high:.1f}, {gate.saturated:.0%} of "
                "them where the sigmoid is flat and nothing is learned; start it between -4 and 4."
            )


def _of_parameters(found: Liveness) -> Iterator[str]:
    dead = [name for name in found.silent if name.startswith("parameter ") and name not in found.asleep]
    if dead:
        names = [name.removeprefix("parameter ") for name in dead]
        yield (
            f"No gradient reaches {_listed(names)}: they cannot learn from documents of {found.segments} segments; "
            "they are cut off, or used in longer documents only."
        )


def _faded(place: PlaceLiveness) -> str | None:
    return next((name for name, norms in place.norms.items() if _share_left(norms) < FADES), None)


def _share_left(norms: Sequence[float]) -> float:
    return norms[-1] / max(*norms, 1e-300)


def _collapsed(usage: Usage | None) -> bool:
    return usage is not None and usage.valid * usage.entries >= 2 and usage.distinct < ALL_THE_SAME


def _described(usage: Usage | None) -> str:
    assert usage is not None
    return f"{usage.valid * usage.entries:.0f} of them count as {usage.distinct:.2f}"


def _factor(place: PlaceLiveness) -> float:
    return max((norms[-1] / max(norms[0], 1e-300) for norms in place.norms.values()), default=1.0)


def _effect(place: PlaceLiveness) -> float:
    return place.effect.vector if place.heard == "vector" else place.effect.tokens


def _output(place: PlaceLiveness) -> str:
    return "context vector" if place.heard == "vector" else "last segment's token states"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"
