"""The whole probe of a model, and its report."""

import json
import re

import pytest
import torch

from memenc.diagnostics import probe
from memenc.diagnostics.probing.fact_loss import VECTOR_PROBE
from memenc.diagnostics.probing.facts import Facts
from memenc.diagnostics.probing.probe import ProbeSettings
from memenc.diagnostics.probing.report import save_report
from tests.diagnostics.probed import SETTINGS, classifier, plain_facts
from tests.memory.checks import CAPACITY, build, tokens


@pytest.fixture(scope="module")
def probed():
    model = classifier("compressive_mean")
    documents = [tokens(length) for length in (4 * CAPACITY, 5 * CAPACITY + 2)]
    return probe(model, documents, plain_facts(), SETTINGS, labels=[0, 1])


def test_report_is_numbers_pictures_and_one_page(probed, tmp_path):
    save_report(probed, tmp_path, model="some <model>")
    kept = json.loads((tmp_path / "probe.json").read_text())
    assert kept["probe"] == json.loads(json.dumps(probed.to_dict(), allow_nan=False))
    assert kept["probe"]["facts"]["at"][0]["read"]["mean"] == probed.facts.at[0].read.mean
    assert len((tmp_path / "probe.csv").read_text().splitlines()) == 1 + len(list(probed.rows()))
    page = (tmp_path / "probe.html").read_text()
    assert "some &lt;model&gt;" in page and "some <model>" not in page
    pictures = sorted(path.stem for path in tmp_path.glob("*.png"))
    assert len(pictures) == page.count("data:image/png;base64,") == 7
    # Nothing is asked of any other file or machine.
    assert not re.findall(r"(?:src|href)\s*=\s*[\"'](?!data:)|https?://|@import|url\(", page)
    assert not list(tmp_path.glob("*.tmp"))


def test_the_same_seed_measures_the_same(probed):
    assert probed.sentences() and probed.endings.documents == 2
    with pytest.raises(ValueError, match="fact_documents=3"):
        ProbeSettings(fact_documents=3)


def test_probe_of_a_model_without_head():
    model = build("tokens", readout="mean")
    found = probe(model, [tokens(3 * CAPACITY), tokens(3 * CAPACITY)], plain_facts(), SETTINGS)
    assert found.facts.reader == VECTOR_PROBE and found.endings is None
    assert found.contributions.measure.startswith("length")


def test_without_a_design_the_document_memory_is_probed():
    found = probe(classifier("none"), [tokens(5 * CAPACITY), tokens(4 * CAPACITY)], plain_facts(), SETTINGS)
    assert [part.name for part in found.retention.parts] == ["document", "all"]
    document = found.retention.parts[0]
    # It is written and read out, and no later segment ever sees it.
    assert document.written > 0 and min(document.state.mean) > 0 and min(document.vector.mean) > 0
    assert document.tokens.mean == (0.0, 0.0, 0.0)
    assert found.facts.written.mean > 0.75 and set(found.facts.at[0].parts) == {"document", "all"}
    assert all(found.contributions.knockout) and all(found.contributions.gradient)


def test_too_few_documents_for_the_classes_of_facts_are_refused_before_anything_is_read():
    facts = Facts(tuple(torch.full((4,), 10 + index) for index in range(5)), tuple(range(5)), tuple("abcde"))
    with pytest.raises(ValueError, match=r"fact_documents=20: facts of 5 classes need 25, 5 of each"):
        probe(build("none"), [tokens(2, 4 * CAPACITY)[0]], facts, SETTINGS)
