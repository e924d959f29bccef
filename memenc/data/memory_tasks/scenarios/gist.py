"""The kind of what is told, not its words."""

from __future__ import annotations

from typing import ClassVar, final

import torch

from memenc.data.memory_tasks.base import Split
from memenc.data.memory_tasks.draws import below, distinct
from memenc.data.memory_tasks.facts import NAMES
from memenc.data.memory_tasks.sentences import SentenceTask, Told, table_row
from memenc.data.memory_tasks.vocabulary import Vocabulary

# The last four of each kind are those of the split "test".
SPACED = {
    "animal": "otter falcon badger camel lizard beetle donkey salmon panther walrus sparrow moose",
    "food": "bagel noodle pancake cheese yoghurt biscuit omelette sausage waffle custard dumpling pretzel",
    "tool": "hammer chisel wrench shovel pliers sickle trowel sander hatchet crowbar mallet spanner",
    "vehicle": "tractor canoe scooter tram lorry ferry sledge glider bicycle hovercraft rickshaw caravan",
    "instrument": "violin trumpet flute cello banjo oboe zither bagpipe clarinet mandolin trombone bassoon",
    "garment": "scarf mitten blouse apron cardigan sandal bonnet kimono trousers waistcoat sweater poncho",
}
KINDS = {kind: words.split() for kind, words in SPACED.items()}
WORDS = {
    "train": [word for words in KINDS.values() for word in words[:8]],
    "test": [word for words in KINDS.values() for word in words[8:]],
}
REPORT = "{name} spoke of the {word} ."
QUESTION = "what kind of thing came first ?"


@final
class EarlyGist(SentenceTask):
    """Words of one kind in the first part of the document, of another kind in the rest; the label is the first kind.

    The parts are at least a quarter each and on average equal, so that the words alone, without their order, leave two
    kinds to guess from.

    Args:
        segment_length: ids of a segment, its mark included.
        split: "train", or "test" for other words of the same kinds, other names and filler.
    """

    name = "early_gist"
    what_to_keep = "The kind of the first things, known beforehand; no word of them matters."
    vocabulary = Vocabulary([*NAMES["train"], *WORDS["train"], REPORT, QUESTION], [*NAMES["test"], *WORDS["test"]])
    least_places: ClassVar[int] = 2

    def __init__(self, segment_length: int = 25, split: Split = "train") -> None:
        super().__init__(segment_length, split)
        self.classes = tuple(KINDS)
        reports = self.vocabulary.table(REPORT, name=NAMES[split], word=WORDS[split])
        self._reports = reports.unflatten(1, (len(KINDS), -1))
        self._question = self.vocabulary.table(QUESTION)

    def _tell(self, generator: torch.Generator, documents: int, places: int) -> Told:
        kinds = distinct(generator, len(KINDS), documents, 2)
        part = max(1, places // 4)
        border = part + below(generator, places + 1 - 2 * part, documents, 1)
        place = torch.arange(places, device=generator.device).expand(documents, -1)
        kind = kinds.gather(1, (place >= border).long())
        names, words = (below(generator, self._reports.shape[x], documents, places) for x in (0, 2))
        told = below(generator, 2, documents, places, 1)
        told[:, [0, -1]] = 1
        return Told(
            places=place,
            sentences=table_row(self._reports, names, kind, words) * told,
            questions=self._question.to(place.device).expand(documents, -1),
            labels=kinds[:, 0],
        )
