"""Attention of segments over their own tokens and over memory entries, in one softmax."""

from memenc_kernels.memory_attention.reference import memory_attention

__all__ = ["memory_attention"]
