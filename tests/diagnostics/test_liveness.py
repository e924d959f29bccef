"""Liveness finds nothing wrong with memories that live, measures what it says, and leaves the model as it was."""

import json

import pytest
import torch
from typer.testing import CliRunner

from memenc import MemencModel
from memenc.cli.main import app
from memenc.diagnostics import liveness
from memenc.diagnostics.attention_share import attention_shares
from memenc.diagnostics.drift import distinct, growth
from memenc.diagnostics.knockout import places_of
from tests.diagnostics.living import LINEAR, SEGMENTS, examine, told
from tests.memory.checks import CAPACITY, build, ragged, tokens
from tests.memory.designs import DESIGNS, FEW_DESIGNS, Design
from tests.tiny import TINY_MEMORY, WORDS, save_tiny_backbone


def assert_well(design, found):
    assert found.problems() == [], (design, torch.initial_seed())


@pytest.mark.parametrize("design", [name for name, row in DESIGNS.items() if row.reach != 0])
def test_living_memories_have_no_problems(design):
    model = build(design)
    found = examine(model)
    assert_well(design, found)
    assert found.asleep == found.padding == found.shared == ()
    assert found.documents == 2 and found.segments == SEGMENTS
    # A state over the top, and one per layer and part unless it lives over the top alone.
    assert found.places[-1].name.startswith("top") and found.places[0].written > 0
    assert found.effect.tokens > 5e-4 and found.reach[0] > 0 and len(found.reach) == SEGMENTS - 1
    if DESIGNS[design].reach is None:
        assert all(norm > 0 for norm in found.reach)


@pytest.mark.parametrize("design", FEW_DESIGNS)
def test_fresh_memories_have_no_problems(design):
    found = examine(build(design, lively=False))
    assert_well(design, found)
    assert "readout.mixture" in found.zeros
    assert ("effect of all" in found.asleep) == DESIGNS[design].asleep


def test_without_memory_it_says_so():
    found = examine(build("none"))
    assert found.places == () and found.effect is None
    # It was made without one, which is nothing to mend.
    assert found.problems() == [] and "no memory" in str(found)
    assert found.to_dict()["places"] == []


def test_the_model_comes_back_as_it_was():
    model = build("associative", lively=False, bptt_segments=2).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    documents = tokens(2, SEGMENTS * CAPACITY)
    random = torch.get_rng_state()
    first, again = liveness(model, documents), liveness(model, documents)
    assert torch.equal(random, torch.get_rng_state())
    assert json.dumps(first.to_dict()) == json.dumps(again.to_dict())
    assert model.training and model.encoder.bptt_segments == 2
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    # The horizon of training does not hide how far gradient can flow.
    assert not told(first, "gradient", "reaches")


def test_padding_and_special_tokens_of_the_input_count_for_nothing():
    model = build("compressive_mean")
    documents = [tokens(SEGMENTS * CAPACITY + extra) for extra in (0, 3)]
    cut = torch.stack([document[: SEGMENTS * CAPACITY] for document in documents])
    wrapped = [torch.cat([torch.tensor([3]), document, torch.tensor([4])]) for document in documents]
    plain, padded = liveness(model, cut), liveness(model, *ragged(wrapped, pad="left"))
    assert plain == padded


def test_long_documents_only():
    model = build("compressive_mean")
    with pytest.raises(ValueError, match=f"at least {2 * CAPACITY}"):
        liveness(model, tokens(2, 2 * CAPACITY - 1))
    with pytest.raises(ValueError, match="more_segments=0"):
        examine(model, more_segments=0)
    found = liveness(model, *ragged([tokens(2 * CAPACITY), tokens(5)]))
    assert found.documents == 1 and found.segments == 2 and found.problems() == []
    assert found.places[0].carried is None


def test_a_composition_is_measured_part_by_part(monkeypatch):
    model = build("windowed+linear")
    names = [place.name for place in examine(model).places]
    assert names == [f"{where} {part}" for where in ("layer 0", "layer 1", "top") for part in ("windowed", "linear")]
    with torch.no_grad():
        model.encoder.memories[1].parts["linear"].gate_logits.fill_(-30.0)
    found = examine(model)
    assert told(found, "layer 1 linear", "no effect") and not told(found, "layer 0", "no effect")


@pytest.mark.parametrize("kind", ["bert", "modernbert", "qwen3"])
def test_attention_to_a_window_is_what_its_softmax_says(kind):
    model = build("windowed_one_segment", kind).double()
    documents = tokens(2, 3, CAPACITY)
    found = attention_shares(model, documents, places_of(model))
    assert set(found) == {place.name for place in places_of(model) if place.name != "top"}
    for index, memory in enumerate(model.encoder.layer_memories):
        with torch.no_grad():
            memory.window_bias.fill_(-50.0)
        shut = attention_shares(model, documents, places_of(model))
        assert abs(shut[f"layer {index}"]) < 1e-9 < 1e-3 < found[f"layer {index}"] < 1


def test_a_fresh_memory_gets_the_share_it_starts_with():
    model = build("windowed_one_segment", lively=False)
    with torch.no_grad():
        for layer in model.backbone.encoder.layer:
            layer.attention.self.query.weight.zero_()
            layer.attention.self.query.bias.zero_()
    found = attention_shares(model, tokens(2, 3, CAPACITY), places_of(model))
    assert found == pytest.approx({"layer 0": 0.05 / 1.05, "layer 1": 0.05 / 1.05}, rel=1e-3)


@pytest.mark.parametrize("design", ["linear", "nearest_softmax", "tokens", "summary", "windowed+linear", "associative"])
def test_every_way_of_reading_has_a_share(design):
    model = build(design)
    found = examine(model)
    shares = {place.name: place.attention for place in found.places if place.heard == "tokens"}
    # What associative memory looks up is added to what attention finds.
    assert all((abs(share) < 1e-5) if design == "associative" else 1e-3 < share < 1 for share in shares.values())
    assert shares and "attention" in str(found)


@pytest.mark.parametrize(
    ("memory", "options"), [("gated", {"slots": 2}), ("moving_average", {"segments": 1, "slots": 4})]
)
def test_smallest_memories_have_no_problems(memory, options):
    found = examine(build(Design(memory, options, None), lively=False))
    assert_well(memory, found)


def test_a_learned_start_is_an_initial_state():
    assert examine(build("average_weighted", learned_start=True)).problems() == []


def test_distinct_counts_what_differs():
    keys = torch.randn(3, 7, 16)
    assert distinct(keys) == pytest.approx(7.0, abs=0.01)
    assert distinct(keys[:, [0, 0, 0, 0]]) == pytest.approx(1.0, abs=1e-6)
    assert distinct(keys[:, [0, 1, 0, 1]]) == pytest.approx(2.0, abs=0.01)
    assert distinct(keys[:, :0]) == 0.0 and distinct(torch.zeros(3, 7, 16)) == pytest.approx(1.0, abs=1e-6)
    assert distinct(torch.randn(1, 1000, 64)) == pytest.approx(128.0, abs=0.1)
    assert 1.0 < distinct(keys[:, :1] * (1 + 0.01 * torch.randn(3, 7, 16))) < 1.1


def test_growth_is_an_exponent():
    segments = [8, 9, 10, 12, 16, 24, 40, 72]
    for exponent in (0.0, 0.5, 1.0, 2.0):
        assert growth(segments, [3.0 * count**exponent for count in segments]) == pytest.approx(exponent)
    assert growth(segments, [1.05**count for count in segments]) > 1.5
    assert growth(segments, [0.0] * 8) == 0.0 and growth(segments, [1.0] * 7 + [torch.inf]) == torch.inf
    assert growth([2, 3], [1.0, 1.0]) == 0.0


def test_table_plot_and_text(tmp_path):
    found = examine(build("gated+compressive"))
    assert found.table().row_count == 6 + 1
    text = str(found)
    assert "layer 1 compressive" in text and "12/12" in text
    for name, result in {
        "some.png": found,
        "none.png": examine(build("none")),
        "linear.png": examine(build(LINEAR)),
    }.items():
        result.plot(tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Folder of a tiny model with its tokenizer."""
    folder = tmp_path_factory.mktemp("saved")
    backbone = save_tiny_backbone(folder)
    options = {**TINY_MEMORY, "initial_bias": 0.0}
    model = MemencModel.from_backbone(backbone, memory_options=options, memory_layers="all", segment_length=16)
    model.save_pretrained(folder)
    return folder


def doctor(*arguments):
    return CliRunner().invoke(app, ["doctor", *map(str, arguments)], env={"COLUMNS": "120"})


def test_doctor_examines_a_model(saved, tmp_path):
    said = doctor("--model", saved, "--output", tmp_path / "deep" / "plot.png", "--device", "cpu")
    assert said.exit_code == 0, said.output
    assert "layer 1" in said.stdout and "packages" in said.stdout and "not trained yet" in said.stdout
    assert (tmp_path / "deep" / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_doctor_reads_on_as_far_as_asked(saved, tmp_path):
    said = doctor("--model", saved, "--json", "--more-segments", 200, "--device", "cpu")
    assert json.loads(said.stdout)["liveness"]["long_reading"][-1] == 8 + 200


def test_doctor_has_nothing_against_a_model_without_memory(tmp_path):
    MemencModel.from_backbone(save_tiny_backbone(tmp_path), memory="none", segment_length=16).save_pretrained(tmp_path)
    said = doctor("--model", tmp_path, "--device", "cpu")
    assert said.exit_code == 0 and "no memory: every segment is read alone" in " ".join(said.stdout.split())


def test_doctor_names_problems_in_documents_of_ones_own(saved, tmp_path):
    model = MemencModel.from_pretrained(saved)
    with torch.no_grad():
        for memory in model.encoder.memories:
            memory.slot_bias.fill_(-40.0)
            memory.window_bias.fill_(-40.0)
    save_tiny_backbone(tmp_path / "dead")
    model.save_pretrained(tmp_path / "dead")
    lines = [{"body": " ".join(WORDS * count)} for count in (1, 4, 2)]
    data = tmp_path / "documents.jsonl"
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    arguments = ("--data", data, "--text-column", "body", "--json", "--output", tmp_path / "doctor.json")
    said = doctor("--model", tmp_path / "dead", *arguments, "--device", "cpu")
    assert said.exit_code == 1
    facts = json.loads(said.stdout)
    assert not facts["healthy"] and facts == json.loads((tmp_path / "doctor.json").read_text())
    # 80 words are 5 segments of 14; the shorter of the two longest documents decides.
    assert facts["liveness"]["documents"] == 2 and facts["liveness"]["segments"] == 2 * len(WORDS) // 14
    assert any("layer 0 has no effect" in problem for problem in facts["liveness"]["problems"])
    assert "layer 0 has no effect" in said.stderr


def test_doctor_refuses_what_it_cannot_examine(saved, tmp_path):
    save_tiny_backbone(tmp_path / "plain")
    for arguments, words in [
        (("--model", tmp_path / "plain"), "plain encoder"),
        (("--data", "documents.jsonl"), "--model"),
        (("--output", tmp_path / "plot.png"), "--model"),
    ]:
        said = doctor(*arguments)
        assert said.exit_code != 0 and words in said.stderr, said.output
