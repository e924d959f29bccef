"""R11: texts as nobody writes them go through tokenisation, encoding and classification without crash, NaN or hang."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

import numpy as np
from transformers import PreTrainedTokenizerBase

from memenc import MemencForSequenceClassification
from memenc.data.tokens import tokenize_document
from memenc.training.documents import TokenizedDocuments
from memenc.training.run import predict_logits

TEXTS_PER_BATCH = 16
# A hang is more than so many seconds of processor time, and so many more for each hundred thousand characters, which
# may be as many tokens: of a batch's tokenisation, and of reading it twice.
SECONDS, TOKENISING, READING = 5.0, 5.0, 30.0

RANGES = {
    "ascii": (0x20, 0x7F),
    "control": (0x00, 0x20),
    "c1 control": (0x7F, 0xA0),
    "combining": (0x300, 0x370),
    "hebrew": (0x590, 0x600),
    "arabic": (0x600, 0x700),
    "devanagari": (0x900, 0x980),
    "hangul": (0x1100, 0x1200),
    "marks of direction": (0x200B, 0x2070),
    "kanji": (0x4E00, 0xA000),
    "surrogates": (0xD800, 0xE000),
    "private": (0xE000, 0xE100),
    "specials": (0xFFF0, 0x10000),
    "emoji": (0x1F300, 0x1FAFF),
    "tags": (0xE0000, 0xE0080),
    "last plane": (0x10FF00, 0x110000),
    "any": (0x0, 0x110000),
}
SPECIAL = ("[CLS]", "[SEP]", "[PAD]", "[MASK]", "[UNK]", "<s>", "</s>", "<pad>", "##", "\u2581", "\u200d", "\ufeff")
SPACES = (" ", "\t", "\n", "\r\n", "\x0b", "\x85", "\xa0", "\u2028", "\u3000")

DECODINGS = (("utf-8", "replace"), ("utf-8", "surrogateescape"), ("utf-16-le", "replace"), ("latin-1", "strict"))

Kind = Callable[[random.Random], str]


def length(generator: random.Random) -> int:
    """Mostly short, seldom in the thousands."""
    return int(10 ** generator.uniform(0, generator.choice((1, 2, 2, 3.5))))


def of_a_range(generator: random.Random) -> str:
    low, high = RANGES[generator.choice(list(RANGES))]
    return "".join(chr(generator.randrange(low, high)) for _ in range(length(generator)))


def mixed(generator: random.Random) -> str:
    return "".join(of_a_range(generator)[:20] for _ in range(generator.randrange(1, 8)))


def bytes_read_as_text(generator: random.Random) -> str:
    content = generator.randbytes(length(generator))
    return content.decode(*generator.choice(DECODINGS))


def one_character(generator: random.Random) -> str:
    return chr(generator.randrange(0x110000)) * length(generator)


def no_space(generator: random.Random) -> str:
    return "".join(generator.choices("abcdefgh0123456789", k=length(generator)))


def special_tokens(generator: random.Random) -> str:
    joint = generator.choice(("", " "))
    return joint.join(generator.choices((*SPECIAL, "word"), k=generator.randrange(1, 40)))


def spaces(generator: random.Random) -> str:
    return "".join(generator.choices(SPACES, k=generator.randrange(60)))


def family(generator: random.Random) -> str:
    return "\U0001f468\u200d\U0001f469\u200d\U0001f467\ufe0f\U0001f3fd" * generator.randrange(1, 60)


def giant(generator: random.Random) -> str:
    """Up to a million characters."""
    unit = generator.choice(("a", "ab1", "\u4e2d", " ", "a ", "\U0001f600", "\x00", "e\u0301"))
    return unit * (generator.randrange(20_000, 1_000_001) // len(unit))


KINDS: tuple[Kind, ...] = (
    of_a_range,
    mixed,
    bytes_read_as_text,
    one_character,
    no_space,
    special_tokens,
    spaces,
    family,
)


def fuzzed_texts(generator: random.Random, count: int, giants: int) -> Iterator[str]:
    """So many texts, the empty one and some giants among them."""
    yield ""
    for number in range(1, count):
        yield (giant if number <= giants else generator.choice(KINDS))(generator)


def problems_of(
    model: MemencForSequenceClassification, tokenizer: PreTrainedTokenizerBase, texts: list[str]
) -> list[str]:
    """What went wrong when the texts were read together; nothing is the goal."""
    try:
        return _read(model, tokenizer, texts)
    except Exception as error:
        return [f"crash: {type(error).__name__}: {error}"[:200]]


def _read(model: MemencForSequenceClassification, tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[str]:
    started = time.process_time()
    documents = TokenizedDocuments([tokenize_document(text, tokenizer) for text in texts])
    tokenised = time.process_time()
    vectors = model.memenc.encode(texts, tokenizer).numpy()
    logits = predict_logits(model, documents)
    found = [f"{name} not finite" for name, rows in (("vector", vectors), ("logits", logits)) if not _finite(rows)]
    if vectors.shape[0] != len(texts) or logits.shape[0] != len(texts):
        found.append("rows lost")
    characters = sum(map(len, texts))
    for what, seconds, more in (
        ("tokenising", tokenised - started, TOKENISING),
        ("reading", time.process_time() - tokenised, READING),
    ):
        if seconds > SECONDS + more * characters / 100_000:
            found.append(f"hang: {what} {characters:,} characters took {seconds:.0f} s")
    return found


def _finite(rows: np.ndarray) -> bool:
    return bool(np.isfinite(rows).all())
