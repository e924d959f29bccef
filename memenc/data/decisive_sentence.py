"""Long documents whose label hides in one sentence at a uniformly random place in filler prose."""

import functools
import hashlib
import importlib
import inspect
import itertools
import re
import types
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy

from memenc.data.decisive_templates import DISTRACTORS, OUTCOMES, TEMPLATES, VOCABULARY

Split = Literal["train", "validation", "test"]
Variant = Literal["fixed", "paraphrase"]
Item = TypeVar("Item")

WORDS_PER_CHUNK = 45
LONGEST_SENTENCE = 30
SPLIT_PERCENTILES = {"train": range(60), "validation": range(60, 70), "test": range(70, 100)}
DOCSTRING_MODULES = {
    "scipy": """cluster.hierarchy cluster.vq constants datasets differentiate fft integrate interpolate io
        linalg ndimage optimize signal signal.windows sparse sparse.csgraph sparse.linalg spatial
        spatial.distance spatial.transform special stats stats.mstats stats.qmc stats.sampling""",
    "sklearn": """base calibration cluster compose covariance cross_decomposition datasets decomposition
        discriminant_analysis dummy ensemble feature_extraction feature_extraction.image
        feature_extraction.text feature_selection gaussian_process gaussian_process.kernels impute inspection
        isotonic kernel_approximation kernel_ridge linear_model manifold metrics metrics.cluster
        metrics.pairwise mixture model_selection multiclass multioutput naive_bayes neighbors neural_network
        pipeline preprocessing random_projection semi_supervised svm tree utils""",
}
SECTIONS_WITHOUT_PROSE = {"Examples", "Methods", "References", "See Also"}
SECTION_TITLE = re.compile(r"^(\S.*)\n[-=~^]{3,}\s*$", re.MULTILINE)
MARKUP = (
    (re.compile(r":[\w:+-]+:`~?([^`<]+?)(?:\s*<[^`]*>)?`"), r"\1"),  # roles: :func:`scipy.fft`
    (re.compile(r"`+([^`]+?)(?:\s*<[^`]*>)?`+_*"), r"\1"),  # literals, links
    (re.compile(r"\s*\[[\w., ]+\]_"), ""),  # citations: [1]_
    (re.compile(r"\*{1,2}([\w .-]+)\*{1,2}"), r"\1"),  # emphasis
)
NOT_RUNNING = ("..", ">>>", "- ", "* ", "|", "+")
NOT_PROSE = re.compile(r"[^\w\s.,;:'\"()%/-]|__|\.\.|\d\.\d+\.\d|\w\.\w+\.\w|\w\(|https?:")


@dataclass(frozen=True)
class DecisiveDocument:
    """One generated document and the truth about it.

    Args:
        text: words separated by single spaces, a whole number of 45-word chunks.
        label: "approved", "rejected", "postponed" or "withdrawn".
        position: middle of the decisive chunk, 0..1 of the chunks; `int(position * chunks)` is its index.
        sentence: the decisive sentence, which stands once in the text.
    """

    text: str
    label: str
    position: float
    sentence: str


def _documented_objects() -> Iterator[object]:
    """Public modules, functions, classes and methods of scipy and scikit-learn, in a fixed order."""
    for package, names in DOCSTRING_MODULES.items():
        for module_name in names.split():
            module = importlib.import_module(f"{package}.{module_name}")
            yield module
            for name in sorted(getattr(module, "__all__", [])):
                member = vars(module).get(name)  # getattr raises for scikit-learn's experimental estimators
                if callable(member):
                    yield member
                if inspect.isclass(member):
                    yield from _public_methods(member)


def _public_methods(kind: type) -> Iterator[object]:
    for name, value in sorted(vars(kind).items()):
        if not name.startswith("_") and isinstance(value, (types.FunctionType, property)):
            yield value


def _paragraphs(docstring: str) -> Iterator[str]:
    """Running text of a docstring: blocks of lines with one indentation that hold no list, table or code."""
    parts = SECTION_TITLE.split(docstring)
    for title, body in zip(["", *parts[1::2]], parts[::2], strict=True):
        lines = body.splitlines() if title not in SECTIONS_WITHOUT_PROSE else []
        for _, block in itertools.groupby(lines, key=_indentation):
            stripped = [line.strip() for line in block]
            if not any(line.startswith(NOT_RUNNING) for line in stripped):
                yield " ".join(stripped)


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip()) if line.strip() else -1


def _prose_sentences(paragraph: str) -> Iterator[str]:
    """Complete sentences of a paragraph, without markup; formulas and code are left out."""
    for pattern, replacement in MARKUP:
        paragraph = pattern.sub(replacement, paragraph)
    for sentence in re.split(r"(?<=[a-z)][.])\s+(?=[A-Z])", paragraph):
        complete = re.match(r"[A-Z]", sentence) and sentence.endswith(".")
        if complete and 6 <= len(sentence.split()) <= 60 and not NOT_PROSE.search(sentence):
            yield " ".join(sentence.split())


@functools.cache
def docstring_sentences() -> tuple[str, ...]:
    """Distinct sentences of prose in the docstrings of scipy and scikit-learn, in a fixed order."""
    docstrings = (inspect.getdoc(member) or "" for member in _documented_objects())
    paragraphs = itertools.chain.from_iterable(map(_paragraphs, docstrings))
    return tuple(dict.fromkeys(itertools.chain.from_iterable(map(_prose_sentences, paragraphs))))


def filler_chunks_from_text(texts: Iterable[str], words_per_chunk: int = WORDS_PER_CHUNK) -> list[str]:
    """Distinct chunks of running text, in order; the words left over at the end of a text are dropped.

    Args:
        texts: documents of prose, for example books.
        words_per_chunk: words in every chunk, at least 1.

    Raises:
        ValueError: if `words_per_chunk` is not a positive integer, or `texts` is one string.
    """
    if isinstance(texts, str):
        raise ValueError(f"texts must be several strings, not one: received {texts[:40]!r}; pass [text]")
    _check_at_least("words_per_chunk", words_per_chunk, 1)
    chunks = {}
    for text in texts:
        words = text.split()
        for start in range(0, len(words) - words_per_chunk + 1, words_per_chunk):
            chunks[" ".join(words[start : start + words_per_chunk])] = None
    return list(chunks)


@functools.cache
def _docstring_chunks(words_per_chunk: int) -> tuple[str, ...]:
    return tuple(filler_chunks_from_text([" ".join(docstring_sentences())], words_per_chunk))


def filler_chunks(words_per_chunk: int = WORDS_PER_CHUNK) -> list[str]:
    """Thousands of distinct chunks of docstring prose; which ones depends on the installed versions alone.

    Args:
        words_per_chunk: words in every chunk, at least 1.
    """
    return list(_docstring_chunks(words_per_chunk))


def filler_of_split(filler: Iterable[str], split: Split) -> list[str]:
    """The chunks that belong to a split: 60 % train, 10 % validation, 30 % test, by a hash of a chunk's text.

    Args:
        filler: chunks of prose.
        split: "train", "validation" or "test".

    Raises:
        ValueError: if there is no such split.
    """
    _check_choice("split", split, SPLIT_PERCENTILES)
    return [chunk for chunk in filler if _percentile(chunk) in SPLIT_PERCENTILES[split]]


def _percentile(chunk: str) -> int:
    return int.from_bytes(hashlib.sha256(chunk.encode()).digest()[:8], "big") % 100


def generate(
    documents: int,
    chunks: int | tuple[int, int],
    split: Split,
    variant: Variant,
    seed: int,
    filler: Sequence[str] | None = None,
    distractors: int = 0,
) -> list[DecisiveDocument]:
    """Long documents with one decisive sentence each, and labels as balanced as their number allows.

    The sentence replaces as many words of one chunk, after a full stop where there is one, so that the length
    of a chunk does not betray it. Document i of a seed has the same sentence at the same relative position
    whatever `chunks`. Filler repeats within a document only where a split has fewer chunks than the document.

    Args:
        documents: how many, at least 1.
        chunks: chunks per document, at least 1; or the (smallest, largest) number, drawn log-uniformly.
        split: filler, subjects and, in the variant "paraphrase", templates are disjoint between the splits.
        variant: "fixed" (16 phrases, in all splits) or "paraphrase" (many templates, other words per split).
        seed: not negative; the same arguments give the same documents.
        filler: chunks of at least 30 words, `filler_chunks()` if not given.
        distractors: chunks per document that speak of another application without any outcome.

    Raises:
        ValueError: if an argument is outside its range, or the split's share of `filler` is empty.
    """
    low, high = _chunk_range(chunks)
    _check_choice("variant", variant, TEMPLATES)
    _check_at_least("documents", documents, 1)
    _check_at_least("seed", seed, 0)
    _check_at_least("distractors", distractors, 0)
    if distractors >= low:
        raise ValueError(f"distractors must be fewer than the chunks, at least {low}: received {distractors}")
    pool = _filler_pool(filler, split)
    stream = (seed, list(SPLIT_PERCENTILES).index(split))
    generator = numpy.random.default_rng(stream)
    labels = generator.permutation(numpy.resize(generator.permutation(OUTCOMES), documents))
    made = []
    for number, label in enumerate(labels):
        generator = numpy.random.default_rng((*stream, number))
        made.append(_document(str(label), variant, split, pool, (low, high), distractors, generator))
    return made


def _document(
    label: str,
    variant: Variant,
    split: Split,
    pool: Sequence[str],
    chunk_range: tuple[int, int],
    distractors: int,
    generator: numpy.random.Generator,
) -> DecisiveDocument:
    sentence = _sentence(TEMPLATES[variant][split][label], split, generator)
    place = generator.random()  # before everything that depends on the length: see generate
    low, high = chunk_range
    chunks = min(high, int(numpy.exp(generator.uniform(numpy.log(low), numpy.log(high + 1)))))
    rounds = [generator.permutation(len(pool)) for _ in range(-(-chunks // len(pool)))]
    parts = [pool[int(index)] for index in numpy.concatenate(rounds)[:chunks]]
    decisive = int(place * chunks)
    parts[decisive] = _inserted(sentence, parts[decisive], generator)
    others = generator.permutation([index for index in range(chunks) if index != decisive])
    for index in map(int, others[:distractors]):
        parts[index] = _inserted(_sentence(DISTRACTORS[split], split, generator), parts[index], generator)
    return DecisiveDocument(" ".join(parts), label, (decisive + 0.5) / chunks, sentence)


def _sentence(templates: Sequence[str], split: Split, generator: numpy.random.Generator) -> str:
    """A template, filled in, as a sentence with a capital and a full stop."""
    template = _choice(templates, generator)
    words = {field: _choice(values, generator) for field, values in VOCABULARY[split].items()}
    sentence = template.format(
        body=f"the {words['bodies']}",
        subject=f"the {words['kinds']} for {words['purposes']}",
        applicant=f"{words['names']} {words['surnames']}",
    )
    return f"{sentence[0].upper()}{sentence[1:]}."


def _choice(items: Sequence[Item], generator: numpy.random.Generator) -> Item:
    return items[int(generator.integers(len(items)))]


def _inserted(sentence: str, chunk: str, generator: numpy.random.Generator) -> str:
    """The chunk with the sentence after one of its full stops, or before it, cut to the length it had."""
    words = chunk.split()
    room = len(words) - len(sentence.split())
    places = [index for index in range(1, room + 1) if words[index - 1].endswith(".")] or [0]
    place = _choice(places, generator)
    return " ".join([*words[:place], sentence, *words[place:room]])


def _filler_pool(filler: Sequence[str] | None, split: Split) -> list[str]:
    pool = filler_of_split(filler_chunks() if filler is None else filler, split)
    if not pool:
        raise ValueError(f"the {split} split has no filler: received {len(filler or [])} chunks; pass more")
    shortest = min(len(chunk.split()) for chunk in pool)
    if shortest < LONGEST_SENTENCE:
        raise ValueError(f"filler chunks must have at least {LONGEST_SENTENCE} words: received {shortest}")
    return pool


def _chunk_range(chunks: int | tuple[int, int]) -> tuple[int, int]:
    low, high = chunks if isinstance(chunks, tuple) and len(chunks) == 2 else (chunks, chunks)
    _check_at_least("chunks", low, 1)
    _check_at_least("the second of chunks", high, low)
    return low, high


def _check_at_least(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, numpy.integer)) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}: received {value!r}")


def _check_choice(name: str, value: object, choices: Iterable[str]) -> None:
    if value not in list(choices):
        raise ValueError(f"{name} must be one of {', '.join(choices)}: received {value!r}")
