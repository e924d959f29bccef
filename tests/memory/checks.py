"""Models of the table of designs over tiny backbones, and the checks of `memenc.testing` that contract tests share."""

import torch

from memenc import MemencModel
from memenc.testing.checks import (
    check_a_saved_model_is_the_same,
    check_any_batch_is_the_same,
    check_empty_documents_touch_nobody,
    check_gradient_ends_at_the_horizon,
    check_gradient_reaches_every_parameter,
    check_knocking_out_is_felt,
    check_nan_in_padding_stays_there,
    check_no_token_is_lost,
    check_padding_is_nothing,
    check_pieces_equal_the_whole,
    check_reading_leaves_the_old_state,
    check_schedules_agree,
    check_state_has_constant_size,
    check_state_never_shrinks,
)
from memenc.testing.comparing import (
    OTHER_SHAPE,
    assert_close,
    assert_gradients_close,
    assert_states_close,
    assert_states_equal,
    gradients,
)
from memenc.testing.contract import enliven
from memenc.testing.documents import CAPACITY, SEGMENT, SPECIAL, cut_at_random, documents_of, ragged, tokens
from memenc.testing.reading import feed, gradient_by_segment, read
from tests.backbones import tiny_backbone
from tests.memory.designs import DESIGNS

__all__ = [
    "CAPACITY",
    "EXACT",
    "OTHER_SHAPE",
    "SPECIAL",
    "assert_close",
    "assert_gradients_close",
    "assert_states_close",
    "assert_states_equal",
    "build",
    "check_a_saved_model_is_the_same",
    "check_any_batch_is_the_same",
    "check_empty_documents_touch_nobody",
    "check_gradient_ends_at_the_horizon",
    "check_gradient_reaches_every_parameter",
    "check_knocking_out_is_felt",
    "check_nan_in_padding_stays_there",
    "check_no_token_is_lost",
    "check_padding_is_nothing",
    "check_pieces_equal_the_whole",
    "check_reading_leaves_the_old_state",
    "check_schedules_agree",
    "check_state_has_constant_size",
    "check_state_never_shrinks",
    "cut_at_random",
    "documents_of",
    "enliven",
    "feed",
    "gradient_by_segment",
    "gradients",
    "ragged",
    "read",
    "tokens",
]

EXACT = {torch.float64: 1e-12, torch.float32: 1e-5}


def build(design="compressive_mean", kind="bert", dtype=torch.float32, lively=True, model_class=MemencModel, **options):
    """Model of one row of the design table; `lively` moves every parameter away from its start."""
    row = DESIGNS[design] if isinstance(design, str) else design
    every_layer = {"memory_layers": "all", "special_tokens": SPECIAL}
    options = {**every_layer, "segments_per_call": 1, "segment_length": SEGMENT, **options}
    backbone = tiny_backbone(kind)
    model = model_class.from_backbone(backbone, memory=row.memory, memory_options=dict(row.options), **options)
    if lively:
        enliven(model)
    return model.to(dtype).eval()
