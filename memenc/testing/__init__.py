"""The contract of memories as plain functions, for designs of your own: `check_memory("my_design")`."""

from memenc.testing.contract import check_memory

__all__ = ["check_memory"]
