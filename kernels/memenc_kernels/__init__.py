"""Memory attention and memory updates: one public function each, with a torch reference that is its specification."""

from memenc_kernels.compression import compress
from memenc_kernels.document_pooling import document_pooling
from memenc_kernels.gated_update import gated_update
from memenc_kernels.linear_memory import linear_memory
from memenc_kernels.memory_attention import attention_log_weight, memory_attention

__all__ = [
    "attention_log_weight",
    "compress",
    "document_pooling",
    "gated_update",
    "linear_memory",
    "memory_attention",
]
