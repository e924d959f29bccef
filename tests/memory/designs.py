"""Every memory design with small options: one row per design (or variant) is all that the contract suite needs."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Design:
    """One row: name, options, and what the suite must find for segments of 16 tokens.

    `reach`: how many segments back one layer's memory holds anything, None without end, 0 for none at all.
    `entries`: what a query may read beside its own segment.
    `fresh_change`: stated tolerance of a fresh memory, as relative change of the token states.
    """

    memory: str
    options: dict = field(default_factory=dict)
    reach: int | None = 0
    entries: int = 0
    constant_size: bool = True
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
}

# What the suites over all backbones take: one of every way to keep and place entries.
FEW_DESIGNS = ("windowed_no_divisor", "average_weighted", "compressive_convolution")
