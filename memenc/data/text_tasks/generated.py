"""Text tasks that are generated: the decisive sentence, and every memory task in words."""

from __future__ import annotations

from typing import final

import torch

from memenc.data.decisive_sentence import WORDS_PER_CHUNK, Variant, filler_chunks, generate
from memenc.data.decisive_templates import OUTCOMES
from memenc.data.memory_tasks.base import MemoryTask, Split
from memenc.data.text_tasks.base import SPLITS, Asked, AskedTextTask, TextTask

WHAT_BECAME = "what became of the application ?"


@final
class DecisiveSentence(AskedTextTask):
    """One sentence decides, the rest is prose (`memenc.data.decisive_sentence`).

    Args:
        variant: "fixed" phrases, the same in both splits, or a "paraphrase" with other phrases in each.
        words_per_chunk: of the prose, of which the sentence takes a part.
    """

    what_to_keep = "The one sentence about an outcome, known beforehand."
    classes = tuple(OUTCOMES)
    chance = 1 / len(OUTCOMES)
    longest_question = len(WHAT_BECAME.split())

    def __init__(self, variant: Variant = "fixed", words_per_chunk: int = WORDS_PER_CHUNK) -> None:
        self.variant: Variant = variant
        self.words_per_chunk = self.least_words = words_per_chunk
        self.name = {"fixed": "decisive_sentence", "paraphrase": "decisive_paraphrase"}[variant]

    def _documents(self, seed: int, count: int, words: int, split: Split) -> tuple[list[str], list[str]]:
        chunks = max(1, round(words / self.words_per_chunk))
        made = generate(count, chunks, split, self.variant, seed, filler_chunks(self.words_per_chunk))
        return [document.text for document in made], [document.label for document in made]

    def asked(self, seed: int, count: int, words: int, split: Split) -> Asked:
        """Documents of whole chunks.

        Raises:
            ValueError: words of no whole number of chunks.
        """
        if words % self.words_per_chunk:
            raise ValueError(f"words={words}: give a multiple of {self.words_per_chunk}, the words of a chunk")
        texts, labels = self.documents(seed, count, words, split)
        return Asked(texts, [WHAT_BECAME] * count, labels)


@final
class InWords(TextTask):
    """A memory task as text: a line for every segment, the last one asks.

    Args:
        kind: of memory task; of its splits the text task has both, or draws both from its only one.
    """

    def __init__(self, kind: type[MemoryTask]) -> None:
        # The constructors of tasks without splits do not know the word.
        self._tasks = {split: kind(**({"split": split} if len(kind.splits) > 1 else {})) for split in SPLITS}
        task = self._tasks["train"]
        self.name, self.what_to_keep = task.name, task.what_to_keep
        self.classes, self.chance = task.classes, task.chance

    def _documents(self, seed: int, count: int, words: int, split: Split) -> tuple[list[str], list[str]]:
        task = self._tasks[split]
        generator = torch.Generator().manual_seed(seed * len(SPLITS) + SPLITS.index(split))
        two, three = (_words_of(task, segments) for segments in (2, 3))
        ids, labels = task.batch(generator, count, 2 + max(0, round((words - two) / (three - two))))
        return [task.text(row) for row in ids], [task.classes[label] for label in labels]


def _words_of(task: MemoryTask, segments: int) -> int:
    """Of one document, which are about as many in any other of its length."""
    return len(task.text(task.batch(torch.Generator().manual_seed(0), 1, segments)[0][0]).split())
