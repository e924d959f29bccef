"""Which implementation runs, and what is said of it."""

import logging
import random
import subprocess
import sys

import pytest
import torch

from memenc_kernels import checks, dispatch

CPU = torch.device("cpu")


def test_a_kernel_that_cannot_run_is_refused_with_the_reason():
    with pytest.raises(ValueError, match="'cpu'"):
        dispatch.choose("memory_attention", "triton", CPU, None)
    assert dispatch.choose("memory_attention", "auto", CPU, None) == "torch"
    assert dispatch.choose("memory_attention", "torch", CPU, None) == "torch"


def test_unsupported_arguments_are_refused_with_the_reason(monkeypatch):
    monkeypatch.setattr(dispatch, "device_refusal", lambda *arguments, **options: None)
    assert dispatch.choose("memory_attention", "auto", CPU, None) == "triton"
    assert dispatch.choose("memory_attention", "auto", CPU, "too many dimensions") == "torch"
    with pytest.raises(ValueError, match="too many dimensions"):
        dispatch.choose("memory_attention", "triton", CPU, "too many dimensions")


def test_block_and_environment_force_an_implementation(monkeypatch):
    monkeypatch.setenv(dispatch.VARIABLE, "triton")
    with pytest.raises(ValueError, match="cannot run"):
        dispatch.choose("memory_attention", "auto", CPU, None)
    with dispatch.use_implementation("torch"):
        assert dispatch.choose("memory_attention", "auto", CPU, None) == "torch"
        with pytest.raises(ValueError, match="cannot run"):
            dispatch.choose("memory_attention", "triton", CPU, None)
    assert dispatch.requested("auto") == "triton"
    monkeypatch.setattr(dispatch, "_installed", lambda module: True)
    assert "refused" in dispatch.implementations()[0].reason


@pytest.mark.parametrize("name", ["Triton", "cuda", "1"])
def test_unknown_names_are_refused(name, monkeypatch):
    with pytest.raises(ValueError, match=f"implementation='{name}'"):
        dispatch.choose("memory_attention", name, CPU, None)
    monkeypatch.setenv(dispatch.VARIABLE, name)
    with pytest.raises(ValueError, match=f"MEMENC_KERNELS='{name}'"):
        dispatch.requested("auto")


def test_a_choice_is_logged_once(caplog):
    caplog.set_level(logging.INFO, "memenc_kernels")
    reason = f"reason {random.random()}"
    for _ in range(3):
        dispatch.choose("memory_attention", "auto", CPU, None)
        dispatch._log("memory_attention", "torch", reason)
    assert [record for record in caplog.messages if reason in record] == [f"memory_attention runs in torch: {reason}"]


def test_every_function_says_what_would_run():
    choices = dispatch.implementations()
    assert [choice.function for choice in choices] == list(dispatch.FUNCTIONS)
    assert all(choice.reason for choice in choices)
    if not torch.cuda.is_available():
        assert {choice.implementation for choice in choices} == {"torch"}


def test_importing_imports_no_triton():
    code = "import sys, memenc_kernels; assert 'triton' not in sys.modules, 'triton was imported'"
    paths = ":".join(path for path in sys.path if path)
    run = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": paths}, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_argument_checks_say_what_was_received():
    keys = torch.randn(2, 3, 4)
    checks.require_shape("keys", keys, rows=2, tokens=None, dim=4)
    with pytest.raises(ValueError, match=r"keys has the shape \(2, 3, 4\).*\(rows, dim=4\)"):
        checks.require_shape("keys", keys, rows=None, dim=4)
    with pytest.raises(ValueError, match=r"3 along tokens; it must be \(rows=2, tokens=5, dim\)"):
        checks.require_shape("keys", keys, rows=2, tokens=5, dim=None)
    with pytest.raises(ValueError, match=r"values is torch.float64, keys is torch.float32"):
        checks.require_alike({"keys": keys, "values": keys.double()})
    with pytest.raises(ValueError, match=r"values is on meta, keys is on cpu"):
        checks.require_alike({"keys": keys, "values": keys.to("meta")})
    with pytest.raises(ValueError, match=r"valid is torch.int64"):
        checks.require_bool("valid", torch.ones(3, dtype=torch.long))
    assert checks.type_refusal(keys) is None and "float64" in checks.type_refusal(keys.double())
    expanded = torch.ones(()).expand(2, 3)
    assert checks.with_unit_stride(expanded).stride() == (3, 1) and checks.with_unit_stride(keys) is keys
