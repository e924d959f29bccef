"""Memory attention and memory updates: one public function each, with a torch reference that is its specification."""

from memenc_kernels.memory_attention import Line, memory_attention, memory_attention_with_log_weight

__all__ = ["Line", "memory_attention", "memory_attention_with_log_weight"]
