"""The documents of `memenc.data.decisive_sentence` are what they say they are."""

import re
from collections import Counter

import numpy
import pytest
from scipy.stats import chisquare
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from memenc.data.decisive_sentence import (
    LONGEST_SENTENCE,
    WORDS_PER_CHUNK,
    docstring_sentences,
    filler_chunks,
    filler_chunks_from_text,
    filler_of_split,
    generate,
)
from memenc.data.decisive_templates import DISTRACTORS, OUTCOMES, TEMPLATES, VOCABULARY

SPLITS = ("train", "validation", "test")
PAIRS_OF_SPLITS = (("train", "validation"), ("train", "test"), ("validation", "test"))
VARIANTS = ("fixed", "paraphrase")


def template_of(sentence: str, split: str) -> tuple[str, dict[str, str]]:
    """The label of the one paraphrase that the sentence fills in, and what fills it."""
    choices = {field: "|".join(words) for field, words in VOCABULARY[split].items()}
    patterns = {
        "{body}": f"(?P<body>the ({choices['bodies']}))",
        "{subject}": f"(?P<subject>the ({choices['kinds']}) for ({choices['purposes']}))",
        "{applicant}": f"(?P<applicant>({choices['names']}) ({choices['surnames']}))",
    }
    found = []
    for label, templates in TEMPLATES["paraphrase"][split].items():
        for template in templates:
            pattern = re.sub(r"\{\w+\}", lambda field: patterns[field[0]], template)
            if match := re.fullmatch(pattern + r"\.", sentence, re.IGNORECASE):
                found.append((label, {**match.groupdict(), "template": template}))
    assert len(found) == 1, (sentence, found)
    return found[0]


def chunks_of(text: str) -> list[str]:
    return filler_chunks_from_text([text])


def test_docstrings_give_thousands_of_chunks_of_prose() -> None:
    chunks = filler_chunks()
    assert len(chunks) >= 2500
    assert len(set(chunks)) == len(chunks)
    assert {len(chunk.split()) for chunk in chunks} == {WORDS_PER_CHUNK}
    for sentence in docstring_sentences():
        assert sentence[0].isupper() and sentence[-1] == "."
        assert not re.search(r">>>|::|`|\[\d+\]_|-----", sentence), sentence


def test_chunks_of_a_text_keep_its_order_and_drop_its_rest() -> None:
    words = [f"word{number}" for number in range(7)]
    assert filler_chunks_from_text([" ".join(words), "a\n b  c"], 3) == [
        "word0 word1 word2",
        "word3 word4 word5",
        "a b c",
    ]


def test_every_filler_chunk_belongs_to_one_split() -> None:
    shares = [filler_of_split(filler_chunks(), split) for split in SPLITS]
    assert sorted(chunk for share in shares for chunk in share) == sorted(filler_chunks())
    fractions = [len(share) / len(filler_chunks()) for share in shares]
    assert numpy.allclose(fractions, [0.6, 0.1, 0.3], atol=0.04)


@pytest.mark.parametrize("variant", VARIANTS)
def test_same_arguments_same_documents(variant: str) -> None:
    first = generate(12, (2, 9), "train", variant, seed=5, distractors=1)
    assert first == generate(12, (2, 9), "train", variant, seed=5, distractors=1)
    assert first != generate(12, (2, 9), "train", variant, seed=6, distractors=1)


def test_the_length_changes_neither_sentence_nor_relative_position() -> None:
    short, long = (generate(40, chunks, "test", "paraphrase", seed=3) for chunks in (4, 32))
    assert [document.sentence for document in short] == [document.sentence for document in long]
    assert all(abs(a.position - b.position) <= 1 / 8 for a, b in zip(short, long, strict=True))


@pytest.mark.parametrize("documents", [1, 40, 43])
def test_labels_are_balanced(documents: int) -> None:
    counts = Counter(document.label for document in generate(documents, 1, "train", "fixed", seed=0))
    assert set(counts) <= set(OUTCOMES)
    assert max(counts.values()) - min(counts[outcome] for outcome in OUTCOMES) <= 1


def test_no_label_is_preferred_where_labels_cannot_be_balanced() -> None:
    assert {generate(1, 1, "test", "fixed", seed)[0].label for seed in range(40)} == set(OUTCOMES)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("split", SPLITS)
def test_one_decisive_sentence_at_the_recorded_position(split: str, variant: str) -> None:
    pool = set(filler_of_split(filler_chunks(), split))
    for document in generate(60, 8, split, variant, seed=1):
        words = document.text.split(" ")
        assert len(words) == 8 * WORDS_PER_CHUNK
        chunks = chunks_of(document.text)
        strange = [index for index, chunk in enumerate(chunks) if chunk not in pool]
        assert strange == [int(document.position * 8)]
        assert document.text.count(document.sentence) == chunks[strange[0]].count(document.sentence) == 1


def test_lengths_in_a_range_are_drawn_log_uniformly() -> None:
    documents = generate(400, (2, 32), "train", "fixed", seed=2)
    lengths = numpy.array([len(document.text.split()) for document in documents]) // WORDS_PER_CHUNK
    assert lengths.min() == 2 and lengths.max() >= 30 and lengths.max() <= 32
    assert 0.4 < (lengths < 8).mean() < 0.6


def test_filler_repeats_only_as_often_as_it_must() -> None:
    filler = filler_of_split(filler_chunks(), "train")[:10]
    document = generate(1, 25, "train", "fixed", seed=0, filler=filler)[0]
    counts = Counter(len(re.findall(re.escape(chunk), document.text)) for chunk in filler)
    assert set(counts) <= {1, 2, 3} and sum(times * number for times, number in counts.items()) == 24


def test_documents_of_the_splits_share_no_filler() -> None:
    seen = {}
    for split in SPLITS:
        documents = generate(200, 16, split, "paraphrase", seed=0)
        seen[split] = {chunk for document in documents for chunk in chunks_of(document.text)}
    assert not any(seen[first] & seen[second] for first, second in PAIRS_OF_SPLITS)


def test_documents_of_the_splits_share_no_subject_template_or_sentence() -> None:
    seen = {}
    for split in SPLITS:
        seen[split] = Counter()
        for document in generate(400, 1, split, "paraphrase", seed=0):
            label, fields = template_of(document.sentence, split)
            assert label == document.label
            seen[split].update([*(value.lower() for value in fields.values()), document.sentence])
        fixed = generate(400, 1, split, "fixed", seed=0)
        seen[split].update(document.sentence for document in fixed)
    assert not any(seen[first] & seen[second] for first, second in PAIRS_OF_SPLITS)


@pytest.mark.parametrize(("first", "second"), PAIRS_OF_SPLITS)
def test_splits_share_no_vocabulary_templates_or_distractors(first: str, second: str) -> None:
    for field, words in VOCABULARY[first].items():
        assert not set(words) & set(VOCABULARY[second][field])
    assert not set(DISTRACTORS[first]) & set(DISTRACTORS[second])
    for outcome in OUTCOMES:
        known, new = (TEMPLATES["paraphrase"][split][outcome] for split in (first, second))
        assert not content_words(known) & content_words(new), outcome


def content_words(templates: tuple[str, ...]) -> set[str]:
    """All words but the fields and the function words."""
    words = re.findall(r"[a-z'-]+", " ".join(re.sub(r"\{\w+\}", " ", text) for text in templates).lower())
    return set(words) - ENGLISH_STOP_WORDS


def test_there_are_enough_different_templates() -> None:
    numbers = {"train": 24, "validation": 8, "test": 12}
    everything = []
    for split, number in numbers.items():
        for outcome in OUTCOMES:
            templates = TEMPLATES["paraphrase"][split][outcome]
            assert len(templates) >= number
            everything += templates
    everything += [template for templates in DISTRACTORS.values() for template in templates]
    assert len(set(everything)) == len(everything)
    assert sum(len(phrases) for phrases in TEMPLATES["fixed"]["test"].values()) == 16
    for template in everything:
        assert sorted(re.findall(r"\{\w+\}", template)) == ["{applicant}", "{body}", "{subject}"], template


@pytest.mark.parametrize("split", SPLITS)
def test_no_sentence_is_longer_than_promised(split: str) -> None:
    longest = {field: max(len(word.split()) for word in words) for field, words in VOCABULARY[split].items()}
    filled_in = 1 + longest["bodies"] + 3 + longest["purposes"] + 2
    templates = [text for kind in VARIANTS for texts in TEMPLATES[kind][split].values() for text in texts]
    for template in [*templates, *DISTRACTORS[split]]:
        assert len(re.sub(r"\{\w+\}", " ", template).split()) + filled_in <= LONGEST_SENTENCE, template


def test_positions_are_uniform() -> None:
    seed = int(numpy.random.randint(2**31))
    print(f"seed {seed}")
    positions = [document.position for document in generate(2000, 10, "train", "fixed", seed)]
    counts = Counter(int(position * 10) for position in positions)
    assert chisquare([counts[index] for index in range(10)]).pvalue > 1e-6


@pytest.mark.parametrize("distractors", [1, 3])
def test_distractors_replace_filler_and_state_no_outcome(distractors: int) -> None:
    pool = set(filler_of_split(filler_chunks(), "test"))
    plain = generate(20, 4, "test", "paraphrase", seed=4)
    for document, without in zip(
        generate(20, 4, "test", "paraphrase", seed=4, distractors=distractors), plain, strict=True
    ):
        assert (document.label, document.sentence) == (without.label, without.sentence)
        chunks = chunks_of(document.text)
        assert sum(chunk not in pool for chunk in chunks) == 1 + distractors
        assert [len(chunk.split()) for chunk in chunks] == [WORDS_PER_CHUNK] * 4
        assert document.sentence in chunks[int(document.position * 4)]


BAD_ARGUMENTS = [
    ({"documents": 0}, "documents must be an integer of at least 1: received 0"),
    ({"documents": 2.5}, "documents .* received 2.5"),
    ({"chunks": 0}, "chunks .* received 0"),
    ({"chunks": (8, 4)}, "second of chunks .* at least 8: received 4"),
    ({"chunks": (1, 2, 3)}, r"chunks .* received \(1, 2, 3\)"),
    ({"chunks": True}, "chunks .* received True"),
    ({"split": "dev"}, "split must be one of train, validation, test: received 'dev'"),
    ({"variant": ["fixed"]}, r"variant must be one of fixed, paraphrase: received \['fixed'\]"),
    ({"seed": -1}, "seed .* received -1"),
    ({"distractors": -1}, "distractors .* received -1"),
    ({"distractors": 4}, "distractors must be fewer than the chunks, at least 4: received 4"),
    ({"filler": []}, "train split has no filler: received 0 chunks"),
    ({"filler": [f"{number} short chunk" for number in range(20)]}, "at least 30 words: received 3"),
]


@pytest.mark.parametrize(("change", "message"), BAD_ARGUMENTS)
def test_bad_arguments_are_named(change: dict, message: str) -> None:
    good = {"documents": 4, "chunks": 4, "split": "train", "variant": "fixed", "seed": 0}
    with pytest.raises(ValueError, match=message):
        generate(**{**good, **change})


def test_bad_text_is_named() -> None:
    with pytest.raises(ValueError, match="received 'one book'"):
        filler_chunks_from_text("one book")
    with pytest.raises(ValueError, match=r"words_per_chunk .* received 0"):
        filler_chunks_from_text(["one book"], 0)
