"""The benchmark of the kernels: what it compares is the same function, and it runs and resumes."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn.attention.flex_attention import create_block_mask

pytestmark = pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")


@pytest.fixture
def shape():
    from speed.problem import Shape

    return Shape(2, 192, 3, 16, torch.float32, "cpu", segment=48, window=32, slots=20)


@pytest.mark.parametrize("name", ["flex", "sdpa flash", "sdpa flash, gather timed"])
def test_what_is_compared_is_the_same_function(name, shape):
    from speed.attention import MEMORY_ATTENTION

    results = []
    for implementation in (name, "torch"):
        torch.manual_seed(0)
        problem = MEMORY_ATTENTION.implementations[implementation](shape)
        results.append(problem.compared(problem.call()))
    assert results[0].shape == (8, 3, 48, 16)
    assert (results[0] - results[1]).abs().max() < 1e-5


def test_bias_and_validity_come_beside_the_same_numbers(shape, monkeypatch):
    from speed import attention

    monkeypatch.setattr(attention, "require_triton", lambda device: None)
    drawn = []
    for implementation in ("triton, bias and validity", "torch"):
        torch.manual_seed(0)
        drawn.append(attention.MEMORY_ATTENTION.implementations[implementation](shape).wanted)
    with_bias, plain = drawn
    assert len(with_bias) == len(plain) + 2
    assert all(torch.equal(left, right) for left, right in zip(with_bias, plain, strict=False))


def test_corners_of_blocks_tell_all_of_them(shape):
    from speed.attention import BLOCK, block_mask, visible

    shape = replace(shape, tokens=2048, segment=512, window=256, slots=384)
    short = block_mask(shape)
    keys = short.shape[-1]
    full = create_block_mask(visible(shape), None, None, shape.tokens, keys, "cpu", BLOCK)
    assert torch.equal(short.to_dense(), full.to_dense())
    assert full.kv_num_blocks.sum() == 0, "some blocks are seen in part"


def test_runs_on_a_cpu_and_goes_on_where_it_was(tmp_path, monkeypatch, capsys):
    import kernel_speed

    output = tmp_path / "kernels.csv"
    command = ["kernel_speed", "--device", "cpu", "--tokens", "128", "--output", str(output)]
    monkeypatch.setattr("sys.argv", command)
    kernel_speed.main()
    first = list(csv.DictReader(output.read_text().splitlines()))
    assert not [row["note"] for row in first if row["note"].startswith("failed")]
    assert {row["function"] for row in first if row["median_ms"]} > {"memory_attention", "linear_memory"}
    kernel_speed.main()
    assert list(csv.DictReader(output.read_text().splitlines())) == first
    assert "left: run again" not in capsys.readouterr().out


def test_a_row_that_fails_is_a_row_and_not_the_end(tmp_path):
    from speed.table import Job, Table, run

    def broken():
        raise RuntimeError("no such kernel\nand so on")

    table = Table(tmp_path / "rows.csv", ("name",), ("median_ms", "note"))
    jobs = [Job({"name": "bad"}, broken), Job({"name": "good"}, lambda: {"median_ms": 1.5})]
    assert run(table, jobs, deadline=float("inf")) == 0
    assert [row["note"] for row in table.rows] == ["failed: RuntimeError: no such kernel", ""]
    again = Table(tmp_path / "rows.csv", ("name",), ("median_ms", "note"), retry=True)
    assert [row["name"] for row in again.rows] == ["good"]
    assert run(again, jobs, deadline=0.0) == 1, "time is up"


def test_every_file_of_tests_on_a_gpu_has_a_row_the_important_ones_first(monkeypatch):
    from speed import tests_on_gpu

    files = sorted(Path(__file__).parents[1].glob("kernels/gpu/test_*.py"))
    names = [job.name["function"] for job in tests_on_gpu.jobs(("function", "tokens"), "cuda", 0.0)]
    assert names[:2] == ["memory_attention", "linear_memory"]
    assert sorted(names) == [file.stem.removeprefix("test_") for file in files]
    for several in (True, False):
        monkeypatch.setattr("importlib.util.find_spec", lambda name, several=several: several or None)
        assert ("-n" in tests_on_gpu.command_of(files[0])) is several
