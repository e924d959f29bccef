"""R10: files that would run code if anything unpickled them or trusted what they name."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from memenc.storage.files import CHECKSUMS, seal

MODULE = "import pathlib\npathlib.Path({target!r}).write_text('ran')\nclass Evil: pass\n"


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = str(target)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _run, (self.target,)


def _run(target: str) -> None:
    Path(target).write_text("ran")


def payloads(target: Path) -> dict[str, bytes]:
    """Pickles of several dresses that write `target` when they are read without care."""
    plain = pickle.dumps(Payload(target))
    return {
        "pickle": plain,
        "pickle of protocol 0": pickle.dumps(Payload(target), protocol=0),
        "pickle behind a length": struct.pack("<Q", len(plain)) + plain,
        "pickle behind a header": struct.pack("<Q", 2) + b"{}" + plain,
        "torch.save": saved_by_torch(Payload(target)),
        "torch.save, old format": saved_by_torch(Payload(target), _use_new_zipfile_serialization=False),
    }


def saved_by_torch(value: Any, **options: Any) -> bytes:
    """What torch.save writes."""
    import io

    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def change_json(file: Path, **more: Any) -> None:
    """Add keys to a JSON file."""
    file.write_text(json.dumps(json.loads(file.read_text()) | more))


def attacks_on_models(target: Path) -> dict[str, Callable[[Path], None]]:
    """What somebody may do to a folder of a model who writes checksums that fit."""

    def named_code(file: str, **more: Any) -> Callable[[Path], None]:
        def attack(folder: Path) -> None:
            (folder / "evil.py").write_text(MODULE.format(target=str(target)))
            change_json(folder / file, **more)

        return attack

    def backbone_key(**more: Any) -> Callable[[Path], None]:
        def attack(folder: Path) -> None:
            (folder / "evil.py").write_text(MODULE.format(target=str(target)))
            content = json.loads((folder / "config.json").read_text())
            change_json(folder / "config.json", backbone=content["backbone"] | more)

        return attack

    def replaced(file: str, content: bytes, *gone: str) -> Callable[[Path], None]:
        def attack(folder: Path) -> None:
            for name in gone:
                (folder / name).unlink()
            (folder / file).write_bytes(content)

        return attack

    code = {"AutoConfig": "evil.Evil", "AutoModel": "evil.Evil", "AutoTokenizer": ["evil.Evil", "evil.Evil"]}
    found = {
        "auto_map": named_code("config.json", auto_map=code),
        "auto_map of an unknown type": named_code("config.json", auto_map=code, model_type="evil"),
        "trust_remote_code": named_code("config.json", auto_map=code, trust_remote_code=True),
        "private attention": named_code("config.json", _attn_implementation_internal="evil/kernel"),
        "attention": named_code("config.json", attn_implementation="evil/kernel"),
        "backbone's auto_map": backbone_key(auto_map=code),
        "backbone's private attention": backbone_key(_attn_implementation_internal="evil/kernel"),
        "backbone's experts": backbone_key(experts_implementation="evil/kernel"),
        "backbone's nested attention": backbone_key(text_config={"_attn_implementation": "evil/kernel"}),
    }
    for name, content in payloads(target).items():
        found[f"{name} as weights"] = replaced("model.safetensors", content)
        found[f"{name} as old weights"] = replaced("pytorch_model.bin", content, "model.safetensors")
        found[f"{name} as configuration"] = replaced("config.json", content)
        found[f"{name} as checksums"] = replaced(CHECKSUMS, content)
    return found


def sealed_again(folder: Path) -> None:
    """Checksums that fit, as an attacker would write them."""
    (folder / CHECKSUMS).unlink()
    seal(folder)
