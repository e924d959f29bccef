"""Memory attention and memory updates: one public function each, with a torch reference that is its specification."""

from memenc_kernels.compression import compress
from memenc_kernels.document_pooling import document_pooling
from memenc_kernels.gated_update import gated_update
from memenc_kernels.linear_memory import linear_memory
from memenc_kernels.memory_attention import Line, memory_attention, memory_attention_with_log_weight
from memenc_kernels.ring_append import ring_append
from memenc_kernels.rotation import Rotation, rotate

__all__ = [
    "Line",
    "Rotation",
    "compress",
    "document_pooling",
    "gated_update",
    "linear_memory",
    "memory_attention",
    "memory_attention_with_log_weight",
    "ring_append",
    "rotate",
]
