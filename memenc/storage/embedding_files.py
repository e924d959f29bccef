"""Files that make a saved model one of sentence-transformers, which itself is not needed to write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

# Its stock module, told to take our context representation: a module of our own would need trust_remote_code.
MODULES = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"}]
TRANSFORMER = {
    "transformer_task": "feature-extraction",
    "modality_config": {"text": {"method": "forward", "method_output_name": "pooler_output"}},
    "module_output_name": "sentence_embedding",
    "processing_kwargs": {"text": {"truncation": False}},
}
MODEL = {"model_type": "SentenceTransformer", "similarity_fn_name": "cosine"}

FILES: dict[str, Any] = {
    "modules.json": MODULES,
    "sentence_bert_config.json": TRANSFORMER,
    "config_sentence_transformers.json": MODEL,
}


def write_embedding_files(folder: str | Path) -> None:
    """Write them beside a saved model: `SentenceTransformer(folder).encode(texts)` is then its readout, untruncated.

    `import memenc` must come first, as for transformers' Auto classes, and the tokenizer must lie in the folder too.
    """
    for name, content in FILES.items():
        Path(folder, name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
