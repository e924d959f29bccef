"""Heads: from the context representation (or token states) to a task."""

from memenc.tasks.answers import MemencQuestionAnsweringOutput
from memenc.tasks.final_reading import ReadDocuments
from memenc.tasks.masked_lm import MemencForMaskedLM
from memenc.tasks.multiple_choice import MemencForMultipleChoice, MemencMultipleChoiceOutput
from memenc.tasks.question_answering import MemencForQuestionAnswering
from memenc.tasks.sequence_classification import MemencClassifierOutput, MemencForSequenceClassification
from memenc.tasks.text_pairs import MemencForTextPairs, TextPairOutput, collate_pairs
from memenc.tasks.token_classification import MemencForTokenClassification, MemencTokenClassifierOutput

__all__ = [
    "MemencClassifierOutput",
    "MemencForMaskedLM",
    "MemencForMultipleChoice",
    "MemencForQuestionAnswering",
    "MemencForSequenceClassification",
    "MemencForTextPairs",
    "MemencForTokenClassification",
    "MemencMultipleChoiceOutput",
    "MemencQuestionAnsweringOutput",
    "MemencTokenClassifierOutput",
    "ReadDocuments",
    "TextPairOutput",
    "collate_pairs",
]
