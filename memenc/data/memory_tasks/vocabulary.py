"""Words and their ids: those of a task's sentences, and filler around them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, product

import torch
from torch import Tensor

from memenc.data.memory_tasks.filler import FILLER

# Padding, the two marks of segments, and blank come before all words.
FIRST_WORD = 4
# No sentence that is told has more ids.
LONGEST = 8


class Vocabulary:
    """Ids of the words of a task, of filler, and of what only the split "test" has, in this order.

    Args:
        texts: word lists and templates; fields in braces are left out.
        test_texts: those of the split "test".

    Raises:
        ValueError: words that filler has too.
    """

    def __init__(self, texts: Iterable[str], test_texts: Iterable[str] = ()) -> None:
        own, test = _words(texts), _words(test_texts)
        if both := {*own, *test} & {*FILLER["train"], *FILLER["test"]}:
            raise ValueError(f"filler must not have the words of a task: {', '.join(sorted(both))}")
        words = [*own, *FILLER["train"], *test, *FILLER["test"]]
        self.words = (*[""] * FIRST_WORD, *dict.fromkeys(words))
        self._numbers = {word: number for number, word in enumerate(self.words) if word}

    def ids(self, text: str) -> list[int]:
        """One id for every word of a text of known words and single spaces."""
        return [self._numbers[word] for word in text.split()]

    def filler(self, split: str) -> Tensor:
        """Ids of a split's filler words, from the most frequent to the rarest."""
        return torch.tensor([self._numbers[word] for word in FILLER[split]])

    def table(self, template: str, **fields: Iterable[str]) -> Tensor:
        """Ids of a template with every choice of words, (*number of words of each field, ids), 0 behind short ones."""
        lists = {name: tuple(words) for name, words in fields.items()}
        told = [self.ids(template.format(**dict(zip(lists, x, strict=True)))) for x in product(*lists.values())]
        width = max(LONGEST, *map(len, told))
        padded = torch.tensor([sentence + [0] * (width - len(sentence)) for sentence in told])
        return padded.view(*map(len, lists.values()), width)


def _words(texts: Iterable[str]) -> list[str]:
    return [word for word in chain.from_iterable(text.split() for text in texts) if not word.startswith("{")]
