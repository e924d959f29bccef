"""All of the contract for one design, on a tiny random BERT."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from transformers import BertConfig, BertModel

from memenc.memory import MEMORIES, LayerSizes, build_memory, designs_of
from memenc.memory.trial import try_out
from memenc.model import MemencModel
from memenc.testing import checks
from memenc.testing.comparing import require
from memenc.testing.documents import CAPACITY, SEGMENT, SPECIAL, VOCABULARY, documents_of, ragged, tokens
from memenc.testing.reading import gradient_by_segment

SIZES = LayerSizes(heads=4, key_value_heads=2, head_dim=8, segment_length=SEGMENT)


def check_memory(
    name: str,
    options: Mapping[str, Any] | None = None,
    constant_size: bool = True,
    fresh_change: float = 0.10,
    seed: int = 0,
) -> None:
    """Check that a design keeps the contract of all memories, in some seconds.

    Segments have 16 tokens: give options as small.

    Args:
        name: of the design, or several joined by a plus sign.
        options: of the design.
        constant_size: its state has one size; False if it says that it grows with the document.
        fresh_change: by which share a fresh memory may change token states.
        seed: of weights and documents.

    Raises:
        AssertionError: an invariant does not hold; the message says which, where and by how much.
        ValueError: no such design or option, or a design whose methods do not fit each other.
    """
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        _check_types(name, options)
        for invariant, check in _invariants(partial(tiny_model, name, options), constant_size, fresh_change).items():
            try:
                check()
            except AssertionError as error:
                raise AssertionError(f"memory {name!r} breaks this: {invariant}. {error}") from error


def _check_types(name: str, options: Mapping[str, Any] | None) -> None:
    """Methods fit each other with fewer heads of keys than of queries, and in half precision."""
    for part, given in designs_of(name, options).items():
        if MEMORIES[part].row is None:
            for dtype in (torch.float32, torch.bfloat16):
                try_out(part, build_memory(part, SIZES, given).to(dtype))


Checks = dict[str, Callable[[], None]]


def _invariants(model: Callable[..., MemencModel], constant_size: bool, fresh_change: float) -> Checks:
    """A check for each sentence that must hold of the model of a design."""
    document, others = tokens(2 * CAPACITY + 3), documents_of(4 * CAPACITY + 2, 3 * CAPACITY, 0)
    of_growing: Checks = {"a state never shrinks": lambda: checks.check_state_never_shrinks(model())}
    of_constant: Checks = {
        "the size of the state does not depend on the document": lambda: checks.check_state_has_constant_size(model()),
        "a document is the same to the bit in any batch": lambda: checks.check_any_batch_is_the_same(model(), document),
    }
    return {
        "padding and neighbours change nothing": lambda: checks.check_padding_is_nothing(
            model(), document, others, constant_shape=constant_size
        ),
        **(of_constant if constant_size else of_growing),
        "empty documents are defined and touch nobody": lambda: checks.check_empty_documents_touch_nobody(model()),
        **_of_reading(model),
        "gradient reaches the segment before": lambda: check_gradient_reaches_back(model(dtype=torch.float64)),
        "gradient reaches every parameter of the memory": lambda: checks.check_gradient_reaches_every_parameter(
            model()
        ),
        "what a segment sees depends on the memory": lambda: checks.check_knocking_out_is_felt(model(), 1e-3),
        "a fresh memory hardly disturbs the backbone": lambda: checks.check_a_fresh_memory_hardly_disturbs(
            *fresh_and_plain(model), fresh_change
        ),
    }


def _of_reading(model: Callable[..., MemencModel]) -> Checks:
    """Those of documents, however they are read."""
    several = documents_of(4 * CAPACITY + 3, 2 * CAPACITY, 0, 3 * CAPACITY - 1)
    double, exact = partial(model, dtype=torch.float64), 1e-12
    return {
        "however segments are grouped into calls, outputs, state and gradients are the same": lambda: (
            checks.check_schedules_agree(double(), *ragged(several), exact)
        ),
        "a document read in pieces, its state saved in between, ends as one read in one go": lambda: (
            checks.check_pieces_equal_the_whole(double(segments_per_call=2), several, exact)
        ),
        "NaN in the embedding of padding reaches nothing": lambda: checks.check_nan_in_padding_stays_there(
            model(), *ragged(several, pad="interior")
        ),
        "no token is lost": lambda: checks.check_no_token_is_lost(model()),
        "reading on leaves the old state as it was": lambda: checks.check_reading_leaves_the_old_state(model()),
        "a saved model gives the same numbers": lambda: checks.check_a_saved_model_is_the_same(model()),
    }


def check_gradient_reaches_back(model: MemencModel, segments: int = 4) -> None:
    """I5: what a segment says sends gradient to the tokens before it, and none that is not finite."""
    (norms,) = gradient_by_segment(model, segments, [segments - 1])
    require(bool(norms.isfinite().all()), "a gradient is not finite")
    require(bool(norms[-2].any()), "what the last of four segments says has gradient 0 to the third")


def tiny_model(
    name: str,
    options: Mapping[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
    segments_per_call: int = 1,
    lively: bool = True,
) -> MemencModel:
    """A random BERT with a memory in each of its two layers; `lively` moves every parameter away from its start."""
    backbone = tiny_bert(0.15 if lively else 0.0)
    model = MemencModel.from_backbone(
        backbone,
        name,
        None if options is None else dict(options),
        memory_layers="all",
        special_tokens=SPECIAL,
        segment_length=SEGMENT,
        segments_per_call=segments_per_call,
    )
    if lively:
        enliven(model)
    return model.to(dtype).eval()  # pyright: ignore[reportArgumentType] transformers hides the signature


def fresh_and_plain(model: Callable[..., MemencModel]) -> tuple[MemencModel, MemencModel]:
    """A model as it starts, and the same backbone without a memory."""
    fresh = model(lively=False)
    plain = tiny_model("none", lively=False)
    plain.backbone.load_state_dict(fresh.backbone.state_dict())
    return fresh, plain


def tiny_bert(strength: float) -> BertModel:
    """Random weights without dropout; noise of `strength` on all of them makes attention far from uniform."""
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    backbone = BertModel(config)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.add_(strength * torch.randn_like(parameter))
    return backbone.eval()


@torch.no_grad()
def enliven(model: MemencModel) -> None:
    """Read memory at full strength, and give every parameter outside the backbone a part in the output."""
    for name, parameter in model.named_parameters():
        if ".backbone." in name:
            continue
        if name.endswith("_bias"):
            parameter.zero_()
        parameter.add_(0.2 * torch.randn_like(parameter))
