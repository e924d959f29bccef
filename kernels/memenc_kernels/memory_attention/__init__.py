"""Attention of segments over their own tokens and over memory entries, in one softmax."""

from memenc_kernels.memory_attention.reference import attention_log_weight, memory_attention

__all__ = ["attention_log_weight", "memory_attention"]
