"""What a memory does: whether it is alive, what it forgets, and which segments a decision rests on."""

from memenc.diagnostics.liveness import Liveness, liveness
from memenc.diagnostics.liveness_callback import LivenessCallback
from memenc.diagnostics.probing import Probe, capacity, depth_map, fact_loss, long_reading, probe, retention

__all__ = [
    "Liveness",
    "LivenessCallback",
    "Probe",
    "capacity",
    "depth_map",
    "fact_loss",
    "liveness",
    "long_reading",
    "probe",
    "retention",
]
