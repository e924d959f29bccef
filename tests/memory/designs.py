"""Every memory design with small options: one row per design (or variant) is all that the contract suite needs."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Design:
    """One row: name, options, and what the suite must find for segments of 16 tokens.

    `reach`: how many segments back one layer's memory holds anything, None without end, 0 for none at all.
    `pinned`: tokens of the document's beginning that it holds for good, beyond its reach.
    `entries`: what a query may read beside its own segment.
    `asleep`: a fresh memory changes nothing at all.
    `fresh_change`: stated tolerance of a fresh memory, as relative change of the token states.
    """

    memory: str
    options: dict = field(default_factory=dict)
    reach: int | None = 0
    entries: int = 0
    pinned: int = 0
    constant_size: bool = True
    asleep: bool = False
    fresh_change: float = 0.10


def compressive(reach, window=16, slots=4, **options):
    return Design("compressive", {"window": window, "slots": slots, "rate": 4, **options}, reach, window + slots)


DESIGNS = {
    "none": Design("none"),
    "windowed_below_segment": Design("windowed", {"window": 8}, 1, 8),
    "windowed_one_segment": Design("windowed", {"window": 16}, 1, 16),
    "windowed_no_divisor": Design("windowed", {"window": 13}, 1, 13),
    "windowed_above_segment": Design("windowed", {"window": 37}, 3, 37),
    "average_unweighted": Design("moving_average", {"average": "unweighted", "segments": 2, "slots": 4}, 2, 4),
    "average_weighted": Design("moving_average", {"average": "weighted", "segments": 3, "slots": 8}, 3, 8),
    "average_cumulative": Design("moving_average", {"average": "cumulative", "slots": 2}, None, 2),
    "average_weighted_one_slot": Design("moving_average", {"average": "weighted", "segments": 2, "slots": 1}, 2, 1),
    "average_cumulative_one_slot": Design("moving_average", {"average": "cumulative", "slots": 1}, None, 1),
    "compressive_mean": compressive(2),
    "compressive_max": compressive(2, compression="max"),
    "compressive_convolution": compressive(2, compression="convolution"),
    "compressive_learned_query": compressive(2, compression="learned_query"),
    "compressive_no_window": compressive(1, window=0, slots=3),
    "compressive_window_above_segment": compressive(3, window=28, slots=5),
    "compressive_window_below_segment": compressive(2, window=8, slots=5),
    "compressive_reconstruction": compressive(
        2, window=8, slots=6, compression="convolution", reconstruction_weight=0.5
    ),
    "pyramid": Design("pyramid", {"window": 16, "levels": 2, "slots": 4, "rate": 4}, None, 16 + 2 * 4 + 1),
    "pyramid_wide_top": Design(
        "pyramid", {"window": 0, "levels": 1, "slots": 8, "rate": 2, "compression": "learned_query"}, None, 8 + 8
    ),
    "global_first": Design("global", {"keep": "first", "pinned": 24, "window": 16}, 1, 24 + 16, pinned=24),
    "global_learned": Design("global", {"keep": "learned", "pinned": 4, "window": 16}, 1, 4 + 16),
    "global_attended": Design("global", {"keep": "attended", "pinned": 40, "window": 8}, None, 40 + 8),
    "gated_ema": Design("gated", {"slots": 4}, None, 4),
    "gated_lstm": Design("gated", {"slots": 4, "gate": "lstm"}, None, 4),
    "linear": Design("linear", {"rule": "linear"}, None),
    "linear_delta": Design("linear", {"rule": "delta"}, None),
    "nearest_gate": Design("nearest", {"nearest": 200}, None, constant_size=False),
    "nearest_softmax": Design("nearest", {"nearest": 200, "join": "softmax"}, None, constant_size=False),
    "nearest_bounded": Design("nearest", {"nearest": 40, "entries": 24}, 2),
    "tokens": Design("tokens", {"tokens": 3}, None),
    "summary": Design("summary", {"tokens": 2}, None, constant_size=False),
    "summary_bounded": Design("summary", {"tokens": 2, "segments": 3}, None),
    "associative": Design("associative", {"tokens": 3, "key_dim": 4}, None, asleep=True),
    "associative_write_cost": Design("associative", {"tokens": 3, "key_dim": 4, "write_cost": 0.5}, None, asleep=True),
    "windowed+tokens": Design("windowed+tokens", {"windowed": {"window": 8}, "tokens": {"tokens": 2}}, None, 8),
    "windowed+linear": Design("windowed+linear", {"windowed": {"window": 16}}, None, 16),
    "gated+compressive": Design(
        "gated+compressive", {"gated": {"slots": 2}, "compressive": {"window": 8, "slots": 4, "rate": 4}}, None, 2 + 12
    ),
    "windowed+gated+linear": Design(
        "windowed+gated+linear", {"windowed": {"window": 8}, "gated": {"slots": 2}}, None, 8 + 2
    ),
}

# What the suites over all backbones take: one of every way to keep and place entries.
FEW_DESIGNS = (
    "windowed_no_divisor",
    "average_weighted",
    "compressive_convolution",
    "linear_delta",
    "tokens",
    "associative",
)

# Entries beside the segment, tokens in its row, a matrix that is looked up.
ONE_OF_EACH_KIND = ("compressive_convolution", "tokens", "linear_delta")
