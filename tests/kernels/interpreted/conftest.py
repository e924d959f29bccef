"""Tests that need the interpreter of triton, which reads its variable on import: ../test_interpreted.py runs them."""

import os

import pytest

if os.environ.get("TRITON_INTERPRET") != "1":
    collect_ignore_glob = ["*"]
else:
    from triton.runtime.interpreter import GridExecutor

    # On a CPU it would copy every buffer onto itself, also where tests only address memory.
    GridExecutor._restore_args_dev = lambda *arguments: None


@pytest.fixture(autouse=True)
def _in_triton(monkeypatch):
    monkeypatch.setenv("MEMENC_KERNELS", "triton")
