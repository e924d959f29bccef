"""Contenders: what they read, what they keep, what they refuse, and that training makes them better."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer

from memenc.comparison.cells import cells_of
from memenc.comparison.measure import measure
from memenc.comparison.readers.build import reader_for
from memenc.comparison.readers.encoder import shared_encoder
from memenc.comparison.readers.network import NotRun
from memenc.comparison.readers.peak import PeakMemory
from memenc.comparison.readers.tfidf import ids_and_pairs
from memenc.comparison.readers.window import WindowNetwork
from memenc.comparison.settings import ComparisonSettings, EncoderSizes, presets
from memenc.data.memory_tasks import Memorize, Rewrite
from memenc.data.memory_tasks.base import BLANK, PADDING, QUESTION, SEGMENT
from memenc.data.memory_tasks.filler import FILLER
from memenc.data.memory_tasks.vocabulary import FIRST_WORD
from memenc.memory import MEMORIES
from tests.comparison.tiny_cells import TINY, cell_of
from tests.tiny import save_tiny_backbone


def results(cell):
    return {row["segments"]: row for row in measure(cell, lambda share: None)["rows"]}


@pytest.mark.parametrize("name", [*MEMORIES, "windowed+linear"])
def test_every_design_fits_its_budget(name):
    cell = cell_of(name, budgets=[6_000])
    found = results(cell)
    assert found[2]["state_bytes"] <= found[5]["state_bytes"] <= 6_000
    assert (found[5]["state_bytes"] > 0) == (name != "none")
    assert 0 <= found[5]["right"] <= found[5]["documents"] == 64


@pytest.mark.parametrize("name", [*MEMORIES, "windowed+linear"])
def test_every_design_fits_its_budget_with_its_document_memory(name):
    found = results(cell_of(f"{name}/document", budgets=[6_000]))
    assert 300 < found[2]["state_bytes"] <= found[5]["state_bytes"] <= 6_000
    with pytest.raises(NotRun, match=r"document memory alone takes .* of 300 bytes"):
        measure(cell_of("windowed/document", budgets=[300]), lambda share: None)


@pytest.mark.parametrize("name", presets())
def test_every_memory_of_a_preset_fits_its_budget(name):
    cells = cells_of(ComparisonSettings.load(name))
    memories = [cell for cell in cells if cell.contender.kind == "memory" and cell.seed == 0]
    for cell in {(cell.contender.name, cell.new_task().segment_length): cell for cell in memories}.values():
        found = reader_for(cell, cell.new_task()).network.state_bytes(5)
        assert (found > 0) == (cell.contender.memory != "none"), cell.title
        assert cell.budget is None or found <= cell.budget, cell.title


def test_more_budget_is_more_state_and_too_little_is_not_run():
    small, large = (results(cell_of("windowed", budgets=[budget]))[5]["state_bytes"] for budget in (1_000, 4_000))
    assert 500 < small <= 1_000 and 2_500 < large <= 4_000
    with pytest.raises(NotRun, match="budget_bytes=100 is too small for memory 'linear'"):
        measure(cell_of("linear", budgets=[100]), lambda share: None)


def test_what_grows_is_read_as_far_as_allowed():
    found = results(cell_of("nearest-unbounded", lengths=[2, 4, 5]))
    assert found[4]["state_bytes"] > found[2]["state_bytes"]
    assert found[5]["not_run"] == "a memory without a bound is read up to 4 segments" and "accuracy" not in found[5]


def test_full_attention_ends_where_it_was_trained():
    found = results(cell_of("full-attention", "baselines", lengths=[2, 3, 4]))
    assert "accuracy" in found[3] and "positions for 3 segments" in found[4]["not_run"]
    limit = TINY["testing"] | {"full_attention_tokens": 11}
    with pytest.raises(NotRun, match="full attention over 12 tokens of training documents; the limit is 11"):
        measure(cell_of("full-attention", "baselines", testing=limit), lambda share: None)


def test_lengths_that_a_task_does_not_have_are_not_run():
    found = results(cell_of("tf-idf", "baselines", tasks=["remember"], lengths=[3, 18]))
    assert found[18]["not_run"] == "remember has at most 17 segments"


def test_lengths_that_short_segments_do_not_have_are_not_run():
    task = {"name": "count", "options": {"segment_length": 9}}
    for name, kind in (("gated", "designs"), ("tf-idf", "baselines")):
        found = results(cell_of(name, kind, tasks=[task], lengths=[3, 6]))
        assert found[3]["not_run"] == "count needs at least 4 segments of this length"
        assert found[6]["documents"] == 64


def test_truncation_keeps_the_question():
    ids, sizes = torch.arange(20).view(1, 20), EncoderSizes(1, 16, 2)
    task = Rewrite()
    kept = {name: WindowNetwork(task, sizes, 3, name).cut(ids)[0].tolist() for name in ("first", "last")}
    assert kept == {"first": [*range(8), *range(16, 20)], "last": list(range(8, 20))}
    assert WindowNetwork(task, sizes, 5, "first").cut(ids).shape == (1, 20)


def test_what_truncation_drops_changes_nothing():
    ids, _ = Memorize().batch(torch.Generator().manual_seed(0), 4, 9)
    network = WindowNetwork(Memorize(), EncoderSizes(1, 16, 2), 3, "last").eval()
    other = torch.cat([ids[:, :16].flip(0), ids[:, 16:]], dim=1)
    assert torch.equal(network(ids)[0], network(other)[0])
    reversed_end = torch.cat([ids[:, :-16], ids[:, -16:].flip(1)], dim=1)
    assert not torch.equal(network(ids)[0], network(reversed_end)[0])


@torch.no_grad()
def test_lower_layers_with_local_attention_see_what_stands_near():
    task, sizes = Memorize(), EncoderSizes(4, 16, 2, local_attention=4)
    encoder = shared_encoder(task, sizes, task.segment_length).eval()
    ids, _ = task.batch(torch.Generator().manual_seed(0), 1, 3)
    other = ids.clone()
    changed = 20
    other[0, changed] = (ids[0, changed] + 1) % task.vocabulary_size
    states = [encoder(x, torch.ones_like(x), output_hidden_states=True).hidden_states for x in (ids, other)]
    moved = [(a != b).any(2)[0].nonzero()[:, 0] for a, b in zip(*states, strict=True)]
    for layer, reach in ((1, 2), (2, 4)):
        assert (int(moved[layer].min()), int(moved[layer].max())) == (changed - reach, changed + reach)
    assert len(moved[3]) == ids.shape[1], "the upper half sees all"


def test_all_contenders_read_with_local_attention():
    encoder = {"layers": 2, "hidden": 16, "heads": 2, "local_attention": 4}
    for name, kind in (("associative", "designs"), ("gated", "designs"), ("truncate-first", "baselines")):
        found = results(cell_of(name, kind, encoder=encoder, budgets=[6_000]))
        assert 0 <= found[5]["right"] <= found[5]["documents"] == 64, name


@pytest.fixture(scope="module")
def pre_trained(tmp_path_factory):
    known = [word for word in Memorize().words if word][::2]
    return save_tiny_backbone(tmp_path_factory.mktemp("backbone"), words=known)


def test_a_pre_trained_encoder_reads_the_words_of_the_task(pre_trained):
    task, sizes = Memorize(), EncoderSizes.of({"backbone": str(pre_trained)})
    encoder = shared_encoder(task, sizes, task.segment_length)
    whole, tokenizer = AutoModel.from_pretrained(pre_trained), AutoTokenizer.from_pretrained(pre_trained)
    old, new = (x.get_input_embeddings().weight for x in (whole, encoder))
    assert len(new) == encoder.config.vocab_size == task.vocabulary_size
    for number in (FIRST_WORD, FIRST_WORD + 1, FIRST_WORD + 8, task.vocabulary_size - 1):
        pieces = tokenizer(task.words[number], add_special_tokens=False).input_ids
        torch.testing.assert_close(new[number], old[pieces].mean(0))
    for mark, token in (
        (PADDING, "pad"),
        (SEGMENT, "cls"),
        (QUESTION, "cls"),
        (BLANK, "cls"),
    ):  # this tokenizer has no mask
        assert torch.equal(new[mark], old[getattr(tokenizer, f"{token}_token_id")]), mark
    layers = [dict(x.named_parameters()) for x in (whole.encoder, encoder.encoder)]
    assert layers[0].keys() == layers[1].keys()
    assert all(torch.equal(layers[0][name], layers[1][name]) for name in layers[0])
    ids = torch.tensor([[SEGMENT, FIRST_WORD, FIRST_WORD + 8, BLANK]])
    mask = torch.ones_like(ids)
    expected = whole(inputs_embeds=new[ids], attention_mask=mask).last_hidden_state
    torch.testing.assert_close(encoder(ids, mask).last_hidden_state, expected)
    assert encoder.training is False and all(x.p == 0 for x in encoder.modules() if isinstance(x, nn.Dropout))


def test_all_contenders_read_with_a_pre_trained_encoder(pre_trained):
    encoder = {"backbone": str(pre_trained)}
    for name, kind in (("linear", "designs"), ("truncate-first", "baselines"), ("chunk-and-mean", "baselines")):
        found = results(cell_of(name, kind, encoder=encoder, budgets=[6_000]))
        assert 0 <= found[5]["right"] <= found[5]["documents"] == 64, name


def seen(task):
    """Words of some documents."""
    ids, _ = task.batch(torch.Generator().manual_seed(0), 32, 33)
    return {task.words[number] for number in ids.unique().tolist()}


@pytest.mark.parametrize("task", ["memorize", "update", "babi", "passkey_embedding"])
def test_a_pre_trained_encoder_is_tested_on_words_that_it_was_not_trained_on(pre_trained, task):
    known = cell_of("none", tasks=[task], encoder={"backbone": str(pre_trained)})
    trained, tests = known.new_task(), known.test_task()
    assert tests.words == trained.words and tests.classes == trained.classes
    filler = {*FILLER["train"], *FILLER["test"]}
    assert seen(trained) & filler and seen(tests) & filler and not seen(trained) & seen(tests) & filler
    fresh = cell_of("none", tasks=[task])
    assert seen(fresh.new_task()) == seen(fresh.test_task()), "one from scratch has no vectors for others"


def test_tasks_of_symbols_have_no_other_words(pre_trained):
    cell = cell_of("none", tasks=["rewrite"], encoder={"backbone": str(pre_trained)})
    assert seen(cell.new_task()) == seen(cell.test_task())
    given = {"name": "update", "options": {"split": "test"}}
    cell = cell_of("none", tasks=[given], encoder={"backbone": str(pre_trained)})
    assert seen(cell.new_task()) == seen(cell.test_task()), "a split that is asked for is that of training, too"


def test_rows_beyond_the_positions_of_a_pre_trained_encoder_are_not_run(pre_trained):
    limit = AutoConfig.from_pretrained(pre_trained).max_position_embeddings
    testing = TINY["testing"] | {"truncated_segments": limit // 4 + 1}
    with pytest.raises(NotRun, match=f"rows of {limit + 4} tokens; .* has {limit} positions"):
        measure(
            cell_of("truncate-first", "baselines", encoder={"backbone": str(pre_trained)}, testing=testing),
            lambda share: None,
        )


@pytest.mark.parametrize("name", ["windowed", "linear", "tokens", "windowed/document"])
def test_reading_in_pieces_gives_the_same(name):
    cell = cell_of(name)
    task = cell.new_task()
    reader = reader_for(cell, task)
    ids, _ = task.batch(torch.Generator().manual_seed(0), 3, 7)
    whole, pieces = (reader.network.read(ids, tokens) for tokens in (1_000, 9))
    torch.testing.assert_close(whole, pieces, rtol=1e-4, atol=1e-5)


def test_progress_counts_test_documents_by_their_tokens():
    told = []
    cell = cell_of("none", lengths=[2, 5, 32])
    measure(cell, told.append)
    # 64 documents of 8, 20 and 128 tokens, and two steps of 4 documents of 3 segments of 4.
    learned, read = 3 * 2 * 4 * 1.5 * 4, [64 * 8, 64 * 20, 64 * 128]
    done = [learned + sum(read[: end + 1]) for end in range(3)]
    expected = [learned / 2, learned, *done[:2], learned + 0.99 * sum(read)]
    assert told == pytest.approx([x / done[-1] for x in expected])


def test_progress_counts_pieces_of_a_long_document():
    told = []
    cell = cell_of("linear", lengths=[32])
    reader = reader_for(cell, cell.new_task())
    ids, _ = cell.new_task().batch(torch.Generator().manual_seed(0), 64, 32)
    # Pieces of two segments of 4 tokens, of 64 documents each.
    pieces = replace(cell.training, tokens_per_call=8 * 64)
    reader.network.answers(ids, pieces, told.append)
    assert told == [8 * 64] * 16


def test_a_cell_repeats_exactly():
    first, second = (results(cell_of("linear")) for _ in range(2))
    assert [row["right"] for row in first.values()] == [row["right"] for row in second.values()]


def test_training_learns_and_keeps_its_best():
    training = TINY["training"] | {"steps": 60, "check": 30, "documents": 64, "segments": 2, "learning_rate": 1e-2}
    # So few steps are over before an average has followed.
    training |= {"warm_up": 5, "validation_documents": 64, "weight_average": None}
    found = measure(cell_of("windowed", training=training, lengths=[2]), lambda share: None)
    assert found["rows"][0]["accuracy"] > 0.6 and found["best_step"] in (30, 60)
    assert found["chance"] == 1 / 16


def test_full_attention_costs_more_on_longer_documents():
    counts = []
    for segments in (3, 9):
        cell = cell_of("full-attention", "baselines", training=TINY["training"] | {"segments": segments})
        counts.append(reader_for(cell, cell.new_task()).cost(segments)["flops_per_token"])
    # Two products of queries and keys, keys and values: 2 x 2 x hidden x layers operations per further token.
    assert counts[1] - counts[0] == pytest.approx(4 * 16 * 2 * (9 - 3) * 4, rel=0.05)


def test_memory_is_counted_as_far_as_it_can_change(monkeypatch):
    reader = reader_for(cell_of("gated"), cell_of("gated").new_task())
    read = []
    monkeypatch.setattr(reader.network, "read", lambda ids, *_: read.append(ids.shape[1]))
    monkeypatch.setattr("memenc.comparison.readers.base.MOST_COUNTED", 5)
    assert reader.memory(9)["state_bytes"] == reader.network.state_bytes(9) > 0
    reader.memory(4)
    assert read == [5 * 4, 4 * 4]


def test_peak_memory_counts_what_lives_at_once():
    start = torch.ones(1000)
    with PeakMemory() as counter:
        first = start + 1
        second = first * 2
        del first
        third = second.view(10, 100) + 1
        del second
        third.view(-1).add_(1)
    assert (counter.held, counter.peak) == (4000, 8000)


def test_tfidf_sees_pairs():
    assert ids_and_pairs([7, 8, 7]) == ["7", "8", "7", "7 8", "8 7"]
    assert results(cell_of("tf-idf", "baselines", training=TINY["training"] | {"steps": 100}))[2]["accuracy"] > 0.5
