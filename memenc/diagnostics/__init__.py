"""What a memory does: whether it is alive, and which segments a decision rests on."""

from memenc.diagnostics.liveness import Liveness, liveness
from memenc.diagnostics.liveness_callback import LivenessCallback

__all__ = ["Liveness", "LivenessCallback", "liveness"]
