"""The benchmark of whole encoders: its calls read what they say, and rows come out."""

import gc
from dataclasses import replace

import pytest
import torch


@pytest.fixture
def reading():
    from speed.encoders import Reading

    return Reading("bert", "compressive", "torch", 2, 256, 2, "cpu")


def test_the_step_of_the_encoder_is_the_call_of_the_model(reading):
    from speed.encoders import encoder_step, streaming_call

    streaming_call(reading)  # makes the model, which both then share
    results = []
    for build in (streaming_call, encoder_step):
        torch.manual_seed(0)
        results.append(build(reading)())
    assert (results[0] - results[1]).abs().max() < 1e-6


def test_the_step_goes_on_where_it_was(reading):
    from speed.encoders import encoder_step

    step = encoder_step(reading)
    assert not torch.equal(step(), step())


@pytest.mark.gpu
@pytest.mark.parametrize("memory", ("none", "compressive", "linear", "gated"))
def test_a_captured_step_goes_on_as_the_step_does(memory):
    from speed.encoders import Reading, encoder_step, graphed_step, memenc_model

    reading = Reading("bert", memory, "triton", 1, 512, 1, "cuda")
    memenc_model("bert", memory, "cuda")  # draws its weights
    torch.manual_seed(0)
    step = encoder_step(reading)
    wanted = [step() for _ in range(5)]
    torch.manual_seed(0)
    captured = graphed_step(reading)
    # What the graph reads must outlive whoever made it.
    del step
    memenc_model.cache_clear(), gc.collect(), torch.cuda.empty_cache()
    # Three steps were made before the capture, which makes none.
    for expected in wanted[3:]:
        assert (captured() - expected).abs().max() < 0.05


def test_every_mode_gives_a_row(reading):
    import encoder_speed

    modes = [mode for mode in encoder_speed.MODES if "graph" not in mode]
    rows = [encoder_speed.measured(reading, mode, halves=0) for mode in modes]
    rows += [encoder_speed.measured(replace(reading, memory="plain", row_tokens=64), "forward", halves=0)]
    for row in rows:
        assert row["tokens_per_second"] == pytest.approx(512e3 / row["median_ms"], rel=1e-3)


def test_shorter_documents_where_memory_is_short(reading, monkeypatch):
    import encoder_speed

    def forward(reading):
        if reading.tokens > 64:
            raise torch.OutOfMemoryError("too long")
        return lambda: None

    monkeypatch.setattr(encoder_speed, "MODES", {"forward": forward})
    plain = replace(reading, memory="plain", row_tokens=256)
    assert "only 64 tokens fit" in encoder_speed.measured(plain, "forward", halves=2)["note"]
    with pytest.raises(torch.OutOfMemoryError):
        encoder_speed.measured(plain, "forward", halves=1)
