"""Settings: what is refused, what presets hold, and what makes a cell another cell."""

import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import yaml
from transformers import AutoConfig

from memenc.comparison import ComparisonSettings, cells, presets
from memenc.comparison.cells import FORMAT, LATER, cells_of, hashed
from memenc.comparison.contenders import BASELINES, VARIANTS, start_options
from memenc.comparison.measure import documents_at
from memenc.data.text_tasks import GENERATED_TASKS
from memenc.memory import MEMORIES
from memenc.storage.results import memenc_version, plain
from tests.comparison.made_up import VALUES, settings
from tests.tiny import save_tiny_backbone

REFUSED = {
    "unknown key": ({"length": [2]}, "unknown length; known are tasks"),
    "unknown training key": ({"training": {"epochs": 3}}, "training: unknown epochs; known are steps"),
    "unknown testing key": ({"testing": {"document": 3}}, "testing: unknown document; known are documents"),
    "unknown task": ({"tasks": ["elephant"]}, "unknown task 'elephant'; available: remember"),
    "task too small": (
        {"tasks": [{"name": "babi1", "options": {"segment_length": 8}}]},
        "segment_length=8: babi1 needs at least 9",
    ),
    "unknown task option": ({"tasks": [{"name": "babi1", "options": {"size": 8}}]}, "task babi1: .*'size'"),
    "no matrix rate": ({"training": {"matrix_learning_rate": 0}}, "matrix_learning_rate=0.0; give more than 0"),
    "no first segments": ({"training": {"first_segments": 1}}, "first_segments=1; a document has at least 2"),
    "unknown design": ({"designs": ["elephant"]}, "unknown memory 'elephant'; available: none"),
    "unknown option": ({"designs": [{"name": "linear", "options": {"size": 3}}]}, "no option size; it has: rule"),
    "unknown design key": ({"designs": [{"name": "linear", "sizes": 3}]}, "mapping with name and any of memory"),
    "unknown baseline": ({"baselines": ["elephant"]}, "unknown baseline 'elephant'; available: tf-idf"),
    "unknown package": ({"published": ["elephant"]}, "unknown published package 'elephant'"),
    "no list": ({"designs": "linear"}, "designs='linear'; give a list"),
    "no numbers": ({"lengths": ["long"]}, "lengths=\\['long'\\]; give a list of whole numbers"),
    "too short": ({"lengths": [1, 4]}, "lengths \\[1\\]; a document has at least 2"),
    "nothing": ({"seeds": []}, "seeds is empty"),
    "twice": ({"designs": ["linear", "linear"]}, "contender linear stands there twice"),
    "no steps": ({"training": {"steps": 0}}, "steps=0; give at least 1"),
    "null": ({"training": {"steps": None}}, "training: steps=None; give a whole number"),
    "text for a number": ({"training": {"steps": "20"}}, "training: steps='20'; give a whole number"),
    "half a document": ({"training": {"documents": 8.5}}, "training: documents=8.5; give a whole number"),
    "text for a rate": ({"training": {"learning_rate": "fast"}}, "training: learning_rate='fast'; give a number"),
    "negative rate": ({"training": {"learning_rate": -1}}, "training: learning_rate=-1.0; give more than 0"),
    "warm-up": ({"training": {"warm_up": -1}}, "training: warm_up=-1; give at least 0"),
    "yes": ({"training": {"bf16": "yes"}}, "training: bf16='yes'; give true or false"),
    "device": ({"training": {"device": "gpu"}}, "training: device='gpu'; give one of torch"),
    "layers": ({"encoder": {"layers": 0}}, "encoder: layers=0; give at least 1"),
    "heads": ({"encoder": {"hidden": 30, "heads": 4}}, "hidden=30 is no multiple of heads=4"),
    "width as text": ({"encoder": {"hidden": "32"}}, "encoder: hidden='32'; give a whole number"),
    "test documents": ({"testing": {"documents": 0}}, "testing: documents=0; give at least 1"),
    "truncation": ({"testing": {"truncated_segments": 0}}, "truncated_segments=0; give at least 2"),
    "threshold": ({"testing": {"threshold": 85}}, "threshold=85.0; give an accuracy above 0, at most 1"),
    "threshold as text": ({"testing": {"threshold": "high"}}, "testing: threshold='high'; give a number"),
    "no budget": ({"budgets": [0]}, "budgets=0; give at least 1"),
    "seeds twice": ({"seeds": [0, 0, 0]}, r"seeds=\[0, 0, 0\]; give each once"),
    "budgets twice": ({"budgets": [2100, 2100]}, "budgets=.*give each once"),
    "nobody": ({"designs": [], "baselines": [], "published": []}, "there is nobody to compare"),
    "task options": ({"tasks": [{"name": "update", "options": None}]}, "task: options=None; give a mapping"),
    "task name": ({"tasks": [{"name": ["update"]}]}, r"task: name=\['update'\]; give text"),
    "design options": ({"designs": [{"name": "linear", "options": None}]}, "options=None; give a mapping"),
    "design memory": ({"designs": [{"name": "linear", "memory": 3}]}, "design: memory=3; give text"),
    "design bound": ({"designs": [{"name": "linear", "bounded": "no"}]}, "bounded='no'; give true or false"),
    "design readout": ({"designs": [{"name": "linear", "readout": "foo"}]}, "unknown readout 'foo'; there are first"),
}


def test_numbers_that_yaml_takes_for_text_are_numbers(tmp_path):
    (tmp_path / "file.yaml").write_text(
        "{tasks: [update], designs: [linear], training: {learning_rate: 5e-4, matrix_learning_rate: null, mastered: 1}}"
    )
    training = ComparisonSettings.load(tmp_path / "file.yaml").training
    assert (training.learning_rate, training.matrix_learning_rate, training.mastered) == (5e-4, None, 1.0)


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused(case):
    changes, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        ComparisonSettings.of(VALUES | changes)


def test_files_that_are_no_comparison_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no comparison 'elephant': give a YAML file, or one of full, small, smoke"):
        ComparisonSettings.load("elephant")
    for text, message in (
        ("- a list", "must hold a mapping"),
        ("tasks: [", "is no YAML"),
        ("{}", "tasks, designs missing"),
    ):
        (tmp_path / "file.yaml").write_text(text)
        with pytest.raises(ValueError, match=message):
            ComparisonSettings.load(tmp_path / "file.yaml")


@pytest.mark.parametrize("name", presets())
def test_presets_load_and_have_cells(name):
    loaded = ComparisonSettings.load(name)
    cells = cells_of(loaded)
    assert len({cell.identity for cell in cells}) == len(cells) > 0


def test_all_stands_for_all_beside_those_with_options():
    found = settings(
        tasks=["all", {"name": "remember", "options": {"key_size": 2}}], designs=["all"], baselines=["all"]
    )
    assert sorted(task.name for task in found.tasks) == sorted(GENERATED_TASKS)
    assert next(task for task in found.tasks if task.name == "remember").options == (("key_size", 2),)
    assert [design.name for design in found.designs] == [*MEMORIES, *VARIANTS]
    assert tuple(each.name for each in found.baselines) == BASELINES


def test_budgets_multiply_what_has_a_budget_only():
    cells = cells_of(settings(budgets=[1000, 2000], seeds=[0], designs=["none", "linear", "nearest-unbounded"]))
    found = [(cell.contender.name, cell.budget) for cell in cells]
    both = [(name, budget) for name in ("linear", "titans-pytorch") for budget in (1000, 2000)]
    assert sorted(found, key=str) == sorted(
        [("none", None), ("nearest-unbounded", None), ("truncate-first", None), *both], key=str
    )


def test_the_identity_follows_what_determines_the_numbers():
    cell = cells_of(settings())[1]
    assert cell.identity == cells_of(settings())[1].identity
    others = [
        replace(cell, seed=5),
        replace(cell, budget=17),
        replace(cell, lengths=(2, 9)),
        replace(cell, training=replace(cell.training, steps=7)),
        replace(cell, encoder=replace(cell.encoder, hidden=8)),
        replace(cell, contender=replace(cell.contender, options={"window": 3})),
        replace(cell, task=replace(cell.task, options=(("segment_length", 9),))),
        replace(cell, testing=replace(cell.testing, documents=9)),
        replace(cell, testing=replace(cell.testing, fewest_documents=9)),
        replace(cell, training=replace(cell.training, backbone_learning_rate=1e-4)),
        replace(cell, training=replace(cell.training, first_segments=4)),
        replace(cell, training=replace(cell.training, matrix_learning_rate=1e-3)),
        replace(cell, training=replace(cell.training, matrix_learning_rate=None)),
        replace(cell, encoder=replace(cell.encoder, backbone="somewhere")),
        replace(cell, encoder=replace(cell.encoder, local_attention=4)),
    ]
    assert len({cell.identity, *(other.identity for other in others)}) == 1 + len(others)
    assert replace(cell, testing=replace(cell.testing, threshold=0.5)).identity == cell.identity


def test_settings_that_came_later_leave_older_cells_what_they_were():
    before = settings(training={"steps": 5, "matrix_learning_rate": None, "weight_average": None})
    facts = asdict(cells_of(before)[1])
    for (part, name), value in LATER.items():
        assert facts[part].pop(name) == value, name
    del facts["testing"]["threshold"]
    known = plain(facts | {"format": FORMAT, "memenc": memenc_version()})
    assert cells_of(before)[1].identity == hashed(known)[:16]


def test_sizes_are_those_of_the_backbone(tmp_path):
    folder = save_tiny_backbone(tmp_path)
    found = settings(encoder={"backbone": str(folder), "memory_layers": "all"}).encoder
    config = AutoConfig.from_pretrained(folder)
    assert (found.layers, found.hidden, found.heads) == (
        config.num_hidden_layers,
        config.hidden_size,
        config.num_attention_heads,
    )
    assert found.memory_layers == "all"
    with pytest.raises(ValueError, match="encoder: heads, hidden beside a backbone, which has its own; leave them out"):
        settings(encoder={"backbone": str(folder), "hidden": 16, "heads": 2})
    with pytest.raises(ValueError, match="local_attention beside a backbone"):
        settings(encoder={"backbone": str(folder), "local_attention": 8})
    for wrong in (-2, 5):
        with pytest.raises(ValueError, match=f"local_attention={wrong}; give an even number"):
            settings(encoder={"local_attention": wrong})


def test_long_documents_are_fewer_but_not_too_few():
    cell = cells_of(settings())[0]
    cell = replace(cell, testing=replace(cell.testing, documents=100, tokens=10_000, fewest_documents=7))
    assert [documents_at(cell, tokens) for tokens in (10, 500, 10**6)] == [100, 20, 7]


def test_contenders_share_documents_but_not_weights():
    first, second = cells_of(settings())[:2]
    assert first.seed_of("training") == second.seed_of("training") != first.seed_of("validation")
    assert first.seed_of("weights", shared=False) != second.seed_of("weights", shared=False)


def test_gates_start_open_in_every_part():
    found = start_options("windowed+linear", {"windowed": {"window": 3}}, 9)
    assert found == {"windowed": {"initial_bias": 0.0, "window": 3}, "linear": {"initial_share": 0.5}}


@pytest.mark.parametrize(("length", "slots", "rate"), [(4, 4, 2), (9, 3, 3), (10, 2, 2), (11, 1, 11), (25, 1, 5)])
def test_what_a_segment_is_cut_into_is_equally_long(length, slots, rate):
    assert start_options("moving_average", {}, length)["moving_average"]["slots"] == slots
    assert start_options("moving_average", {"slots": 5}, length)["moving_average"]["slots"] == 5
    assert start_options("compressive", {}, length)["compressive"]["rate"] == rate


def test_the_comparison_in_the_readme_loads():
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    (block,) = re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)
    found = ComparisonSettings.of(yaml.safe_load(block))
    assert [task.name for task in found.tasks] == ["update", "early_exact", "long keys"]
    assert cells_of(found)[-1].new_task().name == "remember"


def test_what_lies_elsewhere_is_part_of_an_identity(tmp_path, monkeypatch):
    folder = save_tiny_backbone(tmp_path)
    (first, *_) = cells_of(settings(encoder={"backbone": str(folder)}))
    before = first.identity
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes() + b" ")
    assert first.identity != before
    assert first.training_identity == replace(first, lengths=(3,)).training_identity
    (sentence, *_) = cells_of(settings(tasks=["decisive_sentence"]))
    before = sentence.identity
    monkeypatch.setattr(cells, "version_of", lambda name: "0.0")
    assert sentence.identity != before


def test_limits_for_others_leave_a_cell_what_it_was():
    plain = cells_of(settings())
    other = cells_of(settings(testing={"truncated_segments": 7, "full_attention_tokens": 99, "growing_segments": 300}))
    same = [one.identity == two.identity for one, two in zip(plain, other, strict=True)]
    assert same == [cell.contender.kind == "memory" and cell.contender.bounded for cell in plain]
