"""What each design keeps, against its formula applied to the list of all segments read so far."""

import pytest
import torch
from torch.nn import functional

from memenc.memory import LayerSizes, Segment, build_memory
from memenc.memory.parts.compression import Compressor

HEADS, GROUPS, DIM, LENGTH = 4, 2, 3, 8
SIZES = LayerSizes(HEADS, GROUPS, DIM, LENGTH)


def random_memory(name, **options):
    memory = build_memory(name, SIZES, options).double()
    for parameter in memory.parameters():
        parameter.data.copy_(torch.randn_like(parameter))
    return memory


def segments(count, batch=2):
    def one(heads):
        return torch.randn(batch, heads, LENGTH, DIM, dtype=torch.float64)

    return [Segment(one(HEADS), one(GROUPS), one(GROUPS)) for _ in range(count)]


@torch.no_grad()
def states_along(memory, read):
    """The state before every segment, and after the last."""
    state = memory.initial_state(2, read[0].keys)
    yield state
    for segment in read:
        before = {name: tensor.clone() for name, tensor in state.items()}
        after = memory.write(state, segment)
        assert all(torch.equal(state[name], tensor) for name, tensor in before.items()), "write changed its input"
        state = after
        yield state


def check_entries(memory, state, keys, values, positions):
    """The newest entries are these, in order of age; all older ones are invalid."""
    entries = memory.read(state)
    count, total = keys.shape[2], entries.keys.shape[2]
    assert entries.valid.tolist() == [[False] * (total - count) + [True] * count] * 2
    for got, wanted in ((entries.keys, keys), (entries.values, values)):
        assert (got[:, :, total - count :] - wanted).abs().max() < 1e-12 if count else True
    found = memory.positions(torch.device("cpu"))[total - count :].double()
    assert (found - torch.tensor(positions, dtype=torch.float64)).abs().max() < 1e-9 if count else True
    assert entries.bias.shape == (HEADS, total)


def line(read, name):
    return (
        torch.cat([getattr(segment, name) for segment in read], 2) if read else torch.zeros(2, GROUPS, 0, DIM).double()
    )


@pytest.mark.parametrize("window", (1, 5, 8, 11, 24, 30))
def test_windowed_keeps_the_last_tokens(window):
    memory, read = random_memory("windowed", window=window), segments(5)
    for count, state in enumerate(states_along(memory, read)):
        keys, values = (line(read[:count], name)[:, :, -window:] for name in ("keys", "values"))
        check_entries(memory, state, keys, values, list(range(-keys.shape[2], 0)))


COMPRESSIONS = ("mean", "max", "convolution", "learned_query")


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize(
    "window, slots, rate", [(0, 3, 4), (4, 3, 2), (8, 2, 8), (8, 9, 4), (12, 5, 4), (24, 4, 2), (6, 7, 1)]
)
@torch.no_grad()
def test_compressive_keeps_a_window_and_compressed_slots_before_it(compression, window, slots, rate):
    memory = random_memory("compressive", window=window, slots=slots, rate=rate, compression=compression)
    read = segments(6)
    for count, state in enumerate(states_along(memory, read)):
        keys, values = line(read[:count], "keys"), line(read[:count], "values")
        recent = min(window, keys.shape[2])
        old = (keys.shape[2] - recent) // rate * rate
        start = keys.shape[2] - recent - old
        kept = min(slots, old // rate)
        short = memory.compressor(keys[:, :, start : start + old], values[:, :, start : start + old])
        both = [
            torch.cat([x[:, :, x.shape[2] - kept :], y[:, :, y.shape[2] - recent :]], 2)
            for x, y in zip(short, (keys, values), strict=True)
        ]
        middles = [-recent - rate * age - (rate + 1) / 2 for age in range(kept)][::-1]
        if kept:
            check_entries(memory, state, *both, middles + list(range(-recent, 0)))
        else:
            check_window_only(memory, state, both, recent)


def check_window_only(memory, state, both, recent):
    entries = memory.read(state)
    assert entries.valid.sum(1).tolist() == [recent, recent]
    if recent:
        assert torch.equal(entries.keys[:, :, -recent:], both[0])


@torch.no_grad()
def test_compressions_are_what_their_names_say():
    keys, values = torch.randn(2, GROUPS, 12, DIM).double(), torch.randn(2, GROUPS, 12, DIM).double()
    for kind in COMPRESSIONS:
        compressor = Compressor(kind, 4, GROUPS, DIM).double()
        plain = [x.unflatten(2, (3, 4)).mean(3) for x in (keys, values)]
        found = compressor(keys, values)
        if kind == "max":
            wanted = [x.unflatten(2, (3, 4)).amax(3) for x in (keys, values)]
            assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))
            continue
        assert all((one - other).abs().max() < 1e-12 for one, other in zip(found, plain, strict=True)), "start: mean"
        for parameter in compressor.parameters():
            parameter.copy_(torch.randn_like(parameter))
        found = compressor(keys, values)
        if kind == "convolution":
            kernels = (compressor.key_kernel, compressor.value_kernel)
            for got, mean, x, kernel in zip(found, plain, (keys, values), kernels, strict=True):
                flat, weight = x.transpose(2, 3).flatten(0, 1), kernel.permute(2, 1, 0)
                wanted = functional.conv1d(flat, weight, stride=4).unflatten(0, (2, GROUPS)).transpose(2, 3)
                assert (got - mean - wanted).abs().max() < 1e-12
        if kind == "learned_query":
            stretches = keys.unflatten(2, (3, 4))
            weights = torch.einsum("bgsrd,gd->bgsr", stretches, compressor.query).softmax(-1)
            assert (found[0] - (weights[..., None] * stretches).sum(3)).abs().max() < 1e-12
            assert (found[1] - (weights[..., None] * values.unflatten(2, (3, 4))).sum(3)).abs().max() < 1e-12


@pytest.mark.parametrize("average", ("unweighted", "weighted", "cumulative"))
@pytest.mark.parametrize("slots", (1, 2, 8))
@torch.no_grad()
def test_moving_averages(average, slots, look_back=3):
    memory = random_memory("moving_average", average=average, segments=look_back, slots=slots)
    read = segments(7)
    for count, state in enumerate(states_along(memory, read)):
        entries = memory.read(state)
        assert entries.valid.tolist() == [[count > 0] * slots] * 2
        seen = read[:count] if average == "cumulative" else read[max(0, count - look_back) : count]
        if not seen:
            assert entries.keys.isfinite().all() and entries.values.isfinite().all()
            continue
        logits = torch.zeros(GROUPS, len(seen), dtype=torch.float64)
        if average == "weighted":
            logits = memory.age_logits[:, look_back - len(seen) :]
        weights = logits.softmax(-1)
        for name in ("keys", "values"):
            means = torch.stack([getattr(s, name).unflatten(2, (slots, LENGTH // slots)).mean(3) for s in seen])
            wanted = torch.einsum("abgsd,ga->bgsd", means, weights)
            assert (getattr(entries, name) - wanted).abs().max() < 1e-12
    stretch = LENGTH / slots
    middles = [-LENGTH + stretch * slot + (stretch - 1) / 2 for slot in range(slots)]
    assert memory.positions(torch.device("cpu")).tolist() == pytest.approx(middles)


def test_ages_far_apart_do_not_underflow():
    memory = random_memory("moving_average", average="weighted", segments=2, slots=2)
    memory.age_logits.data.copy_(torch.tensor([[800.0, 0.0], [0.0, 0.0]]))
    state = memory.initial_state(2, torch.zeros(1, dtype=torch.float64))
    segment = segments(1)[0]
    entries = memory.read(memory.write(state, segment))
    wanted = segment.keys.unflatten(2, (2, 4)).mean(3)
    assert (entries.keys - wanted).abs().max() < 1e-12, "one summary is its own average whatever its weight"


def test_the_reconstruction_loss_is_that_of_attention_over_what_leaves():
    memory = random_memory(
        "compressive", window=8, slots=3, rate=4, compression="convolution", reconstruction_weight=0.3
    )
    first, second = segments(2)
    leaves = [x.requires_grad_() for s in (first, second) for x in (s.queries, s.keys, s.values)]
    state = memory.initial_state(2, first.keys)
    assert memory.auxiliary_loss(state, first).tolist() == [0.0, 0.0], "nothing but the empty window leaves"
    loss = memory.auxiliary_loss(memory.write(state, first), second)
    short = memory.compressor(first.keys, first.values)
    attended = [
        functional.scaled_dot_product_attention(second.queries, keys, values, enable_gqa=True)
        for keys, values in ((first.keys, first.values), short)
    ]
    wanted = 0.3 * (attended[0] - attended[1]).square().mean((1, 2, 3))
    assert (loss - wanted).abs().max() < 1e-12
    loss.sum().backward()
    assert memory.compressor.key_kernel.grad.abs().max() > 0
    assert all(leaf.grad is None for leaf in leaves), "the loss trains the compression and nothing below it"
    assert memory.slot_bias.grad is None


def test_no_reconstruction_loss_in_evaluation_or_without_weight():
    memory = random_memory("compressive", window=8, slots=3, rate=4)
    assert memory.auxiliary_loss(memory.initial_state(2, torch.zeros(1)), segments(1)[0]) is None
