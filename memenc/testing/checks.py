"""The contract of every memory design, one check each; what fails raises an AssertionError with name and number."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from memenc.model import MemencModel
from memenc.testing.comparing import (
    OF_GRADIENTS,
    OTHER_SHAPE,
    assert_close,
    assert_equal,
    assert_gradients_close,
    assert_states_close,
    assert_states_equal,
    gradients,
    require,
)
from memenc.testing.documents import CAPACITY, cut_at_random, documents_of, ragged, tokens
from memenc.testing.reading import feed, gradient_by_segment, read


def check_schedules_agree(model: MemencModel, ids: Tensor, mask: Tensor | None, tolerance: float) -> None:
    """I1: outputs, state and gradients of every way to group the segments."""
    model.train()
    wanted = read(model, ids, mask, 1)
    wanted_gradients = gradients(model, wanted)
    for segments_per_call in (2, 3, 100):
        got = read(model, ids, mask, segments_per_call)
        assert_close(got.last_hidden_state, wanted.last_hidden_state, tolerance, "last_hidden_state")
        assert_close(got.pooler_output, wanted.pooler_output, tolerance, "pooler_output")
        assert_states_close(got.memory, wanted.memory, tolerance)
        if wanted.auxiliary_loss is not None:
            assert_close(got.auxiliary_loss, wanted.auxiliary_loss, tolerance, "auxiliary_loss")
        assert_gradients_close(gradients(model, got), wanted_gradients, OF_GRADIENTS * tolerance)


@torch.no_grad()
def check_padding_is_nothing(
    model: MemencModel,
    document: Tensor,
    others: Sequence[Tensor],
    pads: Iterable[str] = ("right", "left", "interior"),
    constant_shape: bool = True,
) -> None:
    """I3: a document's state is bit-identical whatever its batch holds, at a constant shape of the backbone call."""
    alone = None
    for neighbours in ([tokens(1) for _ in others], others):
        for pad in pads:
            ids, mask = ragged([document, *neighbours], len(document) + 3 * CAPACITY, pad)
            output = read(model, ids, mask, 1)
            require(not output.last_hidden_state[~mask.bool()].any(), "token states at padding are not zeros")
            found = output.memory.select([0]), output.pooler_output[0], output.last_hidden_state[0, mask[0].bool()]
            alone = alone or found
            if constant_shape:
                _assert_same_reading(found, alone)
            else:
                assert_states_close(found[0], alone[0], OTHER_SHAPE)
                assert_close(found[1], alone[1], OTHER_SHAPE, "pooler_output")
                assert_close(found[2], alone[2], OTHER_SHAPE, "last_hidden_state")


@torch.no_grad()
def check_any_batch_is_the_same(model: MemencModel, document: Tensor, batch: int = 3) -> None:
    """R1: at a constant number of documents and segments, a document is itself to the bit, wherever it stands."""
    wanted = None
    for _ in range(4):
        place, width = int(torch.randint(batch, ())), len(document) + 2 * CAPACITY
        documents = documents_of(*torch.randint(width, (batch - 1,)).tolist())
        documents.insert(place, document)
        pad = ("right", "left", "interior")[int(torch.randint(3, ()))]
        output = read(model, *ragged(documents, width, pad))
        found = output.memory.select([place]), output.pooler_output[place]
        wanted = wanted or found
        _assert_same_reading(found, wanted)


def _assert_same_reading(found: Sequence[Any], wanted: Sequence[Any]) -> None:
    assert_states_equal(found[0], wanted[0])
    for what, got, right in zip(("pooler_output", "last_hidden_state"), found[1:], wanted[1:], strict=False):
        assert_equal(got, right, what)


@torch.no_grad()
def check_pieces_equal_the_whole(
    model: MemencModel, documents: Sequence[Tensor], tolerance: float, path: Path | None = None
) -> None:
    """I2: documents read in pieces, the state saved and loaded between, leave what they leave at once."""
    whole = read(model, *ragged(documents))
    with tempfile.TemporaryDirectory() as folder:
        place = path or Path(folder, "state.safetensors")
        vector, memory = feed(model, [cut_at_random(document, 9) for document in documents], place)
    assert_states_close(memory, whole.memory, tolerance)
    assert_close(vector, whole.pooler_output, tolerance, "pooler_output")


@torch.no_grad()
def check_nan_in_padding_stays_there(model: MemencModel, ids: Tensor, mask: Tensor) -> None:
    """I3: what is read is the same to the bit if the embedding of padding is not a number."""
    padding = model.encoder.special.padding
    wanted = read(model, ids, mask)
    cast(nn.Embedding, model.get_input_embeddings()).weight[padding] = torch.nan
    got = read(model, torch.where(mask.bool(), ids, padding), mask)
    require(bool(got.last_hidden_state.isfinite().all()), "NaN in the embedding of padding reaches token states")
    assert_equal(got.last_hidden_state, wanted.last_hidden_state, "last_hidden_state")
    assert_equal(got.pooler_output, wanted.pooler_output, "pooler_output")
    assert_states_equal(got.memory, wanted.memory)


@torch.no_grad()
def check_state_has_constant_size(model: MemencModel) -> None:
    """I4: a state has the same tensors, of the same shapes, whatever was read."""
    fresh: Any = model.initial_memory(2)
    for segments in (1, 5):
        memory = read(model, tokens(2, segments * CAPACITY + 1)).memory
        for name, tensor in memory.tensors.items():
            there = fresh.tensors[name]
            require(
                (tensor.shape, tensor.dtype) == (there.shape, there.dtype),
                f"{name} is {tuple(tensor.shape)} {tensor.dtype} after {segments} segments, fresh it is "
                f"{tuple(there.shape)} {there.dtype}",
            )
        require(memory.nbytes == fresh.nbytes, f"{memory.nbytes} bytes after {segments} segments, not {fresh.nbytes}")


@torch.no_grad()
def check_state_never_shrinks(model: MemencModel) -> None:
    """I4, of designs whose state grows: it is never smaller than a fresh one."""
    fresh = model.initial_memory(2).nbytes
    for segments in (1, 2, 9):
        found = read(model, tokens(2, segments * CAPACITY + 1)).memory.nbytes
        require(found >= fresh, f"{found} bytes after {segments} segments, fresh it has {fresh}")


def check_gradient_reaches_every_parameter(model: MemencModel) -> None:
    """I5: every parameter has a finite gradient, and those beside the backbone one that is not zero."""
    model.train()
    found = gradients(model, read(model, tokens(2, 6 * CAPACITY + 5)))
    for name, gradient in found.items():
        if gradient is None:
            require(False, f"{name} gets no gradient")
        else:
            require(bool(gradient.isfinite().all()), f"the gradient of {name} is not finite")
            require(".backbone." in name or float(gradient.abs().max()) > 0, f"the gradient of {name} is 0")


def check_gradient_ends_at_the_horizon(model: MemencModel, segments_per_call: int) -> None:
    """I5: gradient flows within `bptt_segments` of 3 and not a bit of it beyond."""
    read_on = (2, 4, 6)
    for segment, norms in zip(read_on, gradient_by_segment(model, 7, read_on, segments_per_call), strict=True):
        norms, begin = norms.norm(dim=-1), segment // 3 * 3
        require(not norms[:begin].any(), "gradient from beyond the horizon")
        near = norms[max(begin, segment - 1) : segment + 1]
        require(bool((near > 0).all()), f"no gradient within the horizon: {near.tolist()}")


@torch.no_grad()
def check_no_token_is_lost(model: MemencModel) -> None:
    """I10: tokens seen are tokens given, and each has a state."""
    mask = torch.rand(4, 61) < torch.tensor([1.0, 0.7, 0.1, 0.0])[:, None]
    output = read(model, tokens(4, 61), mask)
    seen, given = output.memory.tokens_seen.tolist(), mask.sum(1).tolist()
    require(seen == given, f"{seen} tokens seen, {given} given")
    require((output.last_hidden_state.abs().sum(-1) > 0).equal(mask), "a token has no state, or padding has one")
    again = torch.rand(4, 19) < 0.5
    seen = read(model, tokens(4, 19), again, memory=output.memory).memory.tokens_seen
    require(seen.equal(mask.sum(1) + again.sum(1)), f"{seen.tolist()} tokens seen after reading on")


@torch.no_grad()
def check_empty_documents_touch_nobody(model: MemencModel) -> None:
    """I11: an empty or tiny neighbour has a defined vector and changes no bit of another document."""
    document = tokens(3 * CAPACITY + 1)
    wanted = None
    for neighbour in (tokens(0), tokens(1), tokens(CAPACITY)):
        output = read(model, *ragged([document, neighbour]))
        for what in ("pooler_output", "last_hidden_state"):
            require(bool(output[what].isfinite().all()), f"{what} beside {len(neighbour)} tokens is not finite")
        wanted = wanted or output
        assert_equal(output.pooler_output[0], wanted.pooler_output[0], "pooler_output")
        assert_states_equal(output.memory.select([0]), wanted.memory.select([0]))
    assert wanted is not None
    assert_states_equal(wanted.memory.select([1]), model.initial_memory(1))


@torch.no_grad()
def check_reading_leaves_the_old_state(model: MemencModel) -> None:
    """State in, state out: what was read from stays as it was."""
    memory = read(model, tokens(2, 3 * CAPACITY + 1)).memory
    before = {name: tensor.clone() for name, tensor in memory.tensors.items()}
    for segments_per_call in (1, 100):
        read(model, tokens(2, 40), None, segments_per_call, memory=memory)
        for name, tensor in before.items():
            require(torch.equal(memory.tensors[name], tensor), f"reading on changed {name} of the old state in place")


@torch.no_grad()
def check_a_saved_model_is_the_same(model: MemencModel, path: Path | None = None) -> None:
    """I9: a model that was saved and loaded gives the same numbers, to the bit."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(path or folder)
        again = MemencModel.from_pretrained(path or folder)
    require(not again.training, "a loaded model is in training mode")
    ids, mask = ragged(documents_of(3 * CAPACITY + 2, 5, 0))
    got, wanted = read(again, ids, mask), read(model, ids, mask)
    assert_equal(got.last_hidden_state, wanted.last_hidden_state, "last_hidden_state")
    assert_equal(got.pooler_output, wanted.pooler_output, "pooler_output")
    assert_states_equal(got.memory, wanted.memory)


@torch.no_grad()
def check_knocking_out_is_felt(model: MemencModel, least: float) -> None:
    """I5: what is read changes by more than this share if the memory is emptied before."""
    before, ids = tokens(1, 4 * CAPACITY), tokens(1, CAPACITY)
    with_memory = read(model, ids, memory=read(model, before).memory).last_hidden_state
    without = read(model, ids, memory=model.initial_memory(1)).last_hidden_state
    change = float((with_memory - without).norm() / without.norm())
    require(change > least, f"token states change by {change:.1e} without the memory, expected more than {least:g}")


@torch.no_grad()
def check_a_fresh_memory_hardly_disturbs(model: MemencModel, plain: MemencModel, most: float) -> None:
    """I8: before training, token states are nearly those of the same backbone without a memory."""
    ids = tokens(2, 6 * CAPACITY)
    wanted = read(plain, ids).last_hidden_state
    change = float((read(model, ids).last_hidden_state - wanted).norm() / wanted.norm())
    require(change < most, f"a fresh memory changes token states by {change:.3f}, allowed {most:g}")
