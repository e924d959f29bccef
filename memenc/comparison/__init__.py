"""Memory designs beside simple baselines and published models, at equal state bytes and equal training."""

from memenc.comparison.run import Comparison, compare
from memenc.comparison.settings import ComparisonSettings, presets

__all__ = ["Comparison", "ComparisonSettings", "compare", "presets"]
