"""What a trained model forgets: retention, write against read loss, depth and length, capacity, wear, attribution."""

from memenc.diagnostics.probing.capacity import capacity
from memenc.diagnostics.probing.depth_map import depth_map
from memenc.diagnostics.probing.fact_loss import fact_loss
from memenc.diagnostics.probing.long_reading import long_reading
from memenc.diagnostics.probing.probe import Probe, probe
from memenc.diagnostics.probing.retention import retention

__all__ = ["Probe", "capacity", "depth_map", "fact_loss", "long_reading", "probe", "retention"]
