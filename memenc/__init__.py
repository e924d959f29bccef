"""memenc: read documents of any length with the encoder you already use, and give every layer a memory."""

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from memenc.answerer import QuestionAnswerer
from memenc.config import MemencConfig
from memenc.data import LongDocumentCollator
from memenc.estimator import LongDocumentClassifier
from memenc.memory import available_memories, register_memory
from memenc.model import MemencModel, MemencOutput
from memenc.state import MemoryState
from memenc.tasks import (
    MemencForMaskedLM,
    MemencForMultipleChoice,
    MemencForQuestionAnswering,
    MemencForSequenceClassification,
    MemencForTextPairs,
    MemencForTokenClassification,
)

__version__ = "0.1.0"

AutoConfig.register("memenc", MemencConfig, exist_ok=True)
AutoModel.register(MemencConfig, MemencModel, exist_ok=True)
AutoModelForMaskedLM.register(MemencConfig, MemencForMaskedLM, exist_ok=True)
AutoModelForSequenceClassification.register(MemencConfig, MemencForSequenceClassification, exist_ok=True)
AutoModelForMultipleChoice.register(MemencConfig, MemencForMultipleChoice, exist_ok=True)
AutoModelForQuestionAnswering.register(MemencConfig, MemencForQuestionAnswering, exist_ok=True)
AutoModelForTokenClassification.register(MemencConfig, MemencForTokenClassification, exist_ok=True)

__all__ = [
    "LongDocumentClassifier",
    "LongDocumentCollator",
    "MemencConfig",
    "MemencForMaskedLM",
    "MemencForMultipleChoice",
    "MemencForQuestionAnswering",
    "MemencForSequenceClassification",
    "MemencForTextPairs",
    "MemencForTokenClassification",
    "MemencModel",
    "MemencOutput",
    "MemoryState",
    "QuestionAnswerer",
    "__version__",
    "available_memories",
    "register_memory",
]
