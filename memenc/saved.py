"""Folders of saved models: what lies in them, and whether all of it is there."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from torch import nn
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import CONFIG_NAME
from transformers.utils.hub import cached_file

from memenc.config import MemencConfig, python_values
from memenc.storage.files import CHECKSUMS, check_if_sealed, check_sealed, looks_like_path

LoadedModel = TypeVar("LoadedModel", bound=PreTrainedModel)

# What `memenc train` and the estimators keep beside a model: its task, and how it was made.
ESTIMATOR_FILE = "memenc_estimator.json"
# Folder of a training's checkpoints within that of its model.
CHECKPOINTS = "checkpoints"
HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "proxies", "revision", "subfolder", "token")
TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer_config.json",
)


def kept_beside(path: str | Path) -> dict[str, Any]:
    """What is kept beside a trained model.

    Raises:
        ValueError: it is no such folder, or is damaged.
    """
    file = Path(path, ESTIMATOR_FILE)
    require_folder(Path(path))
    # A save that was stopped between its last moves is finished first.
    check_if_sealed(Path(path))
    if not file.is_file():
        if stopped_training(Path(path)):
            raise ValueError(
                f"{path} holds checkpoints of a training that was stopped, or still runs, and no model yet; the same "
                "memenc train with --resume goes on from them"
            )
        raise ValueError(f"{path} holds no {ESTIMATOR_FILE}; give a folder written by memenc train or save_pretrained")
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise damaged(path, error) from error
    if not isinstance(kept, dict):
        raise damaged(path, f"it holds {type(kept).__name__}")
    return kept


def saved_parameters(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters of an estimator as JSON holds them; a generator of seeds is none."""
    seed = parameters["random_state"]
    kept = {"backbone": os.fspath(parameters["backbone"])}
    kept |= {"random_state": None if isinstance(seed, np.random.RandomState) else seed}
    return python_values(parameters | kept)


def stopped_training(folder: Path) -> bool:
    """Whether a training has begun to write to a folder and has not come to its end."""
    begun = (folder / CHECKPOINTS).is_dir() and any((folder / CHECKPOINTS).iterdir())
    return begun and not (folder / CONFIG_NAME).is_file()


def damaged(path: str | Path, why: object) -> ValueError:
    """The error to raise where what is kept beside a model cannot be understood."""
    return ValueError(f"{Path(path, ESTIMATOR_FILE)} is damaged ({why}); train again, or copy the folder again")


def require_folder(path: Path) -> None:
    """Refuse the path of a saved model where there is no folder.

    Raises:
        ValueError: there is none.
    """
    if not path.is_dir():
        raise ValueError(f"there is no folder {path}; give one written by memenc train or save_pretrained")


def require_folder_or_name(model: str | os.PathLike[str]) -> None:
    """Refuse what can be no name of a model on a hub where there is no folder.

    Raises:
        ValueError: it is a path, and there is none.
    """
    if looks_like_path(model) and not Path(model).is_dir():
        here = f"(working directory: {Path.cwd()})"
        raise ValueError(f"there is no folder {model} {here}; give the folder of a model, or a name on the hub")


def require_model(name: str | os.PathLike[str], loading: Mapping[str, Any] | None = None) -> None:
    """Refuse the name or folder of a model where there is none within reach, before anything is loaded.

    Args:
        name: as transformers takes it.
        loading: keyword arguments for loading it; those that say where a hub and its cache are count.

    Raises:
        ValueError: there is no such folder, and neither the hub nor its cache gave a model of that name.
    """
    require_folder_or_name(name)
    if Path(name).is_dir():
        return
    if on_hub(os.fspath(name), CONFIG_NAME, loading or {}) is None:
        raise ValueError(
            f"there is no folder {name} here (working directory: {Path.cwd()}), and no model of that name was found: "
            "the hub was not reached, and its cache does not have it. Give the folder of a model, or a name on the hub"
        )


def on_hub(name: str, file: str, loading: Mapping[str, Any]) -> str | None:
    """Path of a downloaded file of a model on the hub, None if it is not there or out of reach."""
    return cached_file(
        name,
        file,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
        **{key: loading[key] for key in HUB_OPTIONS if key in loading},
    )


def is_memenc_folder(name: str) -> bool:
    """Whether a memenc model was saved there."""
    file = Path(name, "config.json")
    return file.is_file() and json.loads(file.read_text(encoding="utf-8")).get("model_type") == MemencConfig.model_type


def load_whole(kind: type[LoadedModel], path: str | Path) -> LoadedModel:
    """A model all of whose weights are in the folder, ready to read.

    Raises:
        ValueError: some are not: transformers would make them up in silence.
    """
    loaded: Any = kind.from_pretrained(path, output_loading_info=True, ignore_mismatched_sizes=True)
    model, report = loaded
    absent = sorted(report["missing_keys"]) + sorted(name for name, *_ in report["mismatched_keys"])
    if absent:
        raise ValueError(
            f"the weights in {path} do not fit its config.json: {', '.join(absent[:4])} ({len(absent)} in all) "
            "are missing or of another size. It is damaged or of another version of memenc: copy it or train again"
        )
    return model.eval()


def find_tokenizer(name: str) -> PreTrainedTokenizerBase | None:
    """The tokenizer that lies with a model, or None if there is none."""
    # For a folder without one transformers makes up a tokenizer of five tokens.
    if Path(name).is_dir() and not any(Path(name, file).is_file() for file in TOKENIZER_FILES):
        return None
    try:
        return AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError):
        return None


def own_weights(model: nn.Module) -> None:
    """Put weights that lie in the mapped file, or anywhere between, to where a new tensor would begin.

    Processors round the last bit of a product by where its factors lie: a loaded model then answers what it answered
    when it was saved, bit for bit, and no longer depends on the file.
    """
    for tensor in [*model.parameters(), *model.buffers()]:
        if tensor.device.type == "cpu":
            tensor.data = tensor.data.clone()


def check_downloaded(name: str, options: dict[str, Any]) -> None:
    """Check what a hub handed out against the checksums in the same place, if there are any."""
    found = on_hub(name, CHECKSUMS, options)
    if found is not None:
        check_sealed(Path(found).parent, partial=True)
