"""Every rule of the recommendation, on results made up for it."""

from memenc.comparison.recommendation import recommend
from tests.comparison.made_up import score, with_designs

DESIGNS = with_designs("none", "windowed", "linear", "windowed+linear", "windowed/document", "nearest-unbounded")


def said(*scores, settings=DESIGNS):
    return [str(statement) for statement in recommend(scores, settings)]


def starting(sentences, start):
    (found,) = [sentence for sentence in sentences if sentence.startswith(start)]
    return found


def test_the_best_by_more_than_its_error_is_recommended():
    found = said(score("windowed", 0.90), score("linear", 0.95))
    assert starting(found, "Under") == (
        "Under 2,100 bytes take linear for memorize: it is the best at 8 segments. "
        "[linear, 2,100 bytes, memorize, 8 segments: 0.95 ± 0.02; "
        "windowed, 2,100 bytes, memorize, 8 segments: 0.90 ± 0.02]"
    )


def test_among_ties_the_cheapest_is_taken():
    cheap = {"state_bytes": 2000.0, "flops_per_token": 50.0}
    found = starting(said(score("windowed", 0.94, costs=cheap), score("linear", 0.95), score("none", 0.5)), "Under")
    assert "take windowed for memorize: at 8 segments it is tied with linear, and it is the cheapest." in found
    assert "none" not in found


def test_the_longest_length_that_anyone_solves_decides():
    rows = [score("windowed", 0.99, 2), score("linear", 0.90, 2), score("windowed", 0.3, 8), score("linear", 0.86, 8)]
    found = said(*rows, score("linear", 0.5, 32))
    assert "take linear for memorize: it is the only one that is alive at 8 segments" in starting(found, "Under")
    assert "[linear, 2,100 bytes, memorize, 32 segments: 0.50 ± 0.02]" in starting(found, "linear falls below 0.85")


def test_where_nobody_solves_it_the_longest_alive_decides():
    found = said(
        score("windowed", 0.6, 2), score("linear", 0.5, 2), score("linear", 0.4, 8), score("windowed", 0.25, 8)
    )
    assert starting(found, "Under").startswith("Under 2,100 bytes take linear for memorize, still below 0.85")


def test_nobody_is_recommended_for_guessing():
    found = said(score("windowed", 0.27), score("linear", 0.26))
    assert found == [
        "No design of 2,100 bytes does better than guessing on memorize; this is the best row. "
        "[windowed, 2,100 bytes, memorize, 8 segments: 0.27 ± 0.02]"
    ]


def test_where_only_a_baseline_solves_it_that_is_said():
    solved = score("truncate-first", 0.93, kind="baseline", budget=None)
    found = said(score("windowed", 0.27), solved, score("truncate-first", 0.95, 2, kind="baseline", budget=None))
    assert starting(found, "truncate-first does, without a memory, up to 8 segments")


def test_a_single_design_is_not_called_the_best():
    assert "it is the only design that was run at 8 segments" in starting(said(score("linear", 0.95)), "Under")


def test_what_is_larger_than_its_budget_is_no_mitigation():
    large = {"state_bytes": 9000.0, "flops_per_token": 1.0}
    rows = [score("windowed", 0.9, 2), score("windowed", 0.4, 8), score("windowed/document", 0.8, 8, costs=large)]
    assert not any("document memory" in sentence for sentence in said(*rows))
    assert any("document memory" in sentence for sentence in said(*rows[:2], score("windowed/document", 0.8, 8)))


def test_leaving_the_document_memory_out_may_help():
    rows = [score("windowed/document", 0.9, 2), score("windowed/document", 0.4, 8)]
    found = said(*rows, score("windowed/document", 0.95, 16), score("windowed", 0.8, 8), score("windowed", 0.1, 16))
    assert any("leaving the document memory out (windowed)" in sentence for sentence in found)


def test_what_does_not_fit_the_budget_is_no_candidate():
    large = {"state_bytes": 9000.0, "flops_per_token": 1.0}
    rows = [score("windowed", 0.7), score("windowed/document", 0.99, costs=large)]
    found = said(*rows, score("nearest-unbounded", 0.99, budget=None))
    assert "take windowed" in starting(found, "Under")


def test_baselines_make_a_memory_needless_or_not():
    baseline = score("truncate-first", 0.93, kind="baseline", budget=None)
    assert starting(
        said(score("linear", 0.95), baseline), "A memory is not needed for memorize at 8 segments: truncate"
    )
    weak = score("truncate-first", 0.92, kind="baseline", budget=None)
    assert starting(said(score("linear", 0.95), weak), "No baseline does as well on memorize at 8 segments; truncate")


def test_a_design_without_losses_is_said_to_hold():
    found = said(score("linear", 0.95, 2), score("linear", 0.9, 8))
    assert "[linear, 2,100 bytes, memorize, 8 segments: 0.90 ± 0.02]" in starting(
        found, "linear stays at or above 0.85"
    )


def test_losses_on_other_tasks_are_named():
    settings = with_designs("linear")
    rows = [score("linear", 0.95), score("linear", 0.5, 2, task="rewrite"), score("linear", 0.4, 8, task="rewrite")]
    sentence = starting(said(*rows, settings=settings), "Other tasks on which it falls below 0.85")
    assert "first at so many segments: rewrite (2). [linear, 2,100 bytes, rewrite, 2 segments: 0.50 ± 0.02]" in sentence


MITIGATIONS = {
    "the composition windowed+linear": score("windowed+linear", 0.8),
    "reading the document memory as well (windowed/document)": score("windowed/document", 0.8),
    "a larger budget, 9,000 bytes": score("windowed", 0.8, budget=9000),
    "a memory without a bound (nearest-unbounded)": score("nearest-unbounded", 0.8, budget=None),
    "another design, linear with 9,000 bytes": score("linear", 0.8, budget=9000),
}


def test_mitigations_name_what_differs():
    for words, better in MITIGATIONS.items():
        # It decides at two segments, where nothing but windowed was run.
        found = said(score("windowed", 0.9, 2), score("windowed", 0.4, 8), better)
        sentence = starting(found, "What helps there is")
        assert sentence.startswith(f"What helps there is {words}.") and better.named in sentence


def test_a_mitigation_must_be_better_by_both_errors():
    found = said(score("windowed", 0.9, 2), score("windowed", 0.40, 8), score("linear", 0.43, 8))
    assert starting(found, "No memory in this comparison is alive there and better by more than the errors. [windowed")


def test_a_mitigation_must_be_alive_and_that_is_said():
    rows = [score("windowed", 0.9, 2), score("windowed", 0.17, 8, chance=1 / 6)]
    found = said(*rows, score("linear", 0.24, 8, error=0.026, chance=1 / 6))
    assert starting(found, "No memory in this comparison is alive there and better by more than the errors. [windowed")
    found = said(*rows, score("linear", 0.25, 8, error=0.026, chance=1 / 6))
    assert starting(found, "What helps there is another design, linear.")


def test_the_dead_are_named():
    found = said(score("linear", 0.95), score("windowed", 0.26), score("none", 0.25))
    assert starting(found, "Not alive on memorize") == (
        "Not alive on memorize, whatever the length: windowed. "
        "[windowed, 2,100 bytes, memorize, 8 segments: 0.26 ± 0.02]"
    )


def test_few_seeds_are_named_first():
    assert said(score("linear", 0.95, seeds=2))[0].startswith("Some rows rest on 2 seeds: read what follows as hints")
    assert not any("hints" in sentence for sentence in said(score("linear", 0.95)))


def test_nothing_run_nothing_recommended():
    assert said()[0] == "Nothing was run, so nothing is recommended."


def test_every_sentence_on_a_design_has_its_rows():
    rows = [score("windowed", 0.9, 2), score("windowed", 0.4, 8), score("linear", 0.26, 8), score("none", 0.25, 8)]
    for statement in recommend(rows, DESIGNS):
        assert statement.rows, statement.text


def test_only_who_is_alive_is_recommended_however_cheap_others_are():
    cheap = {"state_bytes": 2000.0, "flops_per_token": 50.0}
    found = said(score("linear", 0.32), score("windowed", 0.305, costs=cheap), score("none", 0.301, costs=cheap))
    alive = starting(found, "Under")
    assert alive.startswith(
        "Under 2,100 bytes take linear for memorize, still below 0.85: it is the only one that is alive at 8"
    )
    assert starting(found, "Not alive").startswith("Not alive on memorize, whatever the length: windowed.")


def test_what_is_above_the_threshold_by_chance_is_not_solved():
    lucky = score("linear", 0.867, error=0.133, chance=0.5)
    assert said(lucky, score("none", 0.5, chance=0.5))[0].startswith(
        "No design of 2,100 bytes does better than guessing"
    )
    found = said(score("windowed", 0.84, error=0.2), score("linear", 0.6))
    assert "take linear for memorize" in starting(found, "Under")
    assert "[linear, 2,100 bytes, memorize, 8 segments: 0.60 ± 0.02; windowed" in starting(found, "Under")
    assert not any("What helps" in sentence for sentence in found)
