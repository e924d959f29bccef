"""Tests that need the interpreter of triton, which reads its variable on import: ../test_interpreted.py runs them."""

import os

import pytest

if os.environ.get("TRITON_INTERPRET") != "1":
    collect_ignore_glob = ["*"]
else:
    from triton.runtime.interpreter import GridExecutor, InterpretedFunction

    # On a CPU it would copy every buffer onto itself, also where tests only address memory.
    GridExecutor._restore_args_dev = lambda *arguments: None
    prepare_and_call = InterpretedFunction.__call__

    def call(self, *arguments, **named):
        # It would prepare the language anew for every call of a function by a kernel, which takes half of the time.
        if self.fn.__module__.startswith("triton."):
            return prepare_and_call(self, *arguments, **named)
        return self.rewrite()(*arguments, **named)

    InterpretedFunction.__call__ = call


def pytest_configure(config):
    # A GPU divides and overflows in silence; what comes out is compared.
    config.addinivalue_line("filterwarnings", "ignore::RuntimeWarning")


@pytest.fixture(autouse=True)
def _in_triton(monkeypatch):
    monkeypatch.setenv("MEMENC_KERNELS", "triton")
