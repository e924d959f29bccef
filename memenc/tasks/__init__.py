"""Heads: from the context representation (or token states) to a task."""

from memenc.tasks.answers import MemencQuestionAnsweringOutput
from memenc.tasks.classifier import MemencClassifierOutput
from memenc.tasks.final_reading import ReadDocuments
from memenc.tasks.masked_lm import MemencForMaskedLM
from memenc.tasks.multiple_choice import MemencForMultipleChoice, MemencMultipleChoiceOutput
from memenc.tasks.question_answering import MemencForQuestionAnswering
from memenc.tasks.sequence_classification import MemencForSequenceClassification
from memenc.tasks.text_pairs import MemencForTextPairs, TextPairOutput, collate_pairs
from memenc.tasks.token_classification import MemencForTokenClassification

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
    "ReadDocuments",
    "TextPairOutput",
    "collate_pairs",
]
