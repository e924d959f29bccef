"""One document on its way in: everything another process needs to go on reading, as one file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from memenc.data.cuts import Window
from memenc.state import MemoryState

VERSION = 1
PREFIX = "reading."


@dataclass(frozen=True)
class Reading:
    """What was read of one document and what waits to be read.

    Args:
        memory: of the tokens that were read.
        window: text that was not tokenized for certain yet, and a little before it.
        waiting: token ids that were not read yet.
        undecoded: bytes of a character that is not there as a whole.
        bytes_taken: bytes of the input that are in all of the above.
        checksum: CRC-32 of these bytes.
    """

    memory: MemoryState
    window: Window
    waiting: list[int]
    undecoded: bytes
    bytes_taken: int
    checksum: int

    def save(self, path: Path, model: str, tokens_per_call: int) -> None:
        """Write it as a memory state with a few more tensors.

        Args:
            path: where to; it appears whole or not at all.
            model: hash of the model that reads.
            tokens_per_call: tokens it reads at once.
        """
        window = self.window
        numbers = [VERSION, tokens_per_call, self.bytes_taken, self.checksum, window.origin, window.context]
        more = {
            "numbers": torch.tensor(numbers),
            "text": bytes_tensor(window.text.encode()),
            "known": torch.tensor(window.known, dtype=torch.long),
            "waiting": torch.tensor(self.waiting, dtype=torch.long),
            "undecoded": bytes_tensor(self.undecoded),
            "model": bytes_tensor(model.encode()),
        }
        # The first axis of a state is the document.
        tensors = self.memory.tensors | {PREFIX + name: tensor[None] for name, tensor in more.items()}
        MemoryState(tensors, self.memory.fingerprint).save(path)

    @classmethod
    def load(cls, path: Path, model: str, tokens_per_call: int) -> Reading:
        """Read a file written by `save`.

        Raises:
            ValueError: it is damaged, no such file, or of another model.
        """
        state = MemoryState.load(path)
        kept = {name: tensor[0] for name, tensor in state.part(PREFIX.rstrip(".")).items()}
        if "numbers" not in kept or kept["numbers"][0] != VERSION:
            raise ValueError(f"{path} is a memory, but none that `encode --state` of this version wrote; give another")
        _, per_call, taken, checksum, origin, context = kept["numbers"].tolist()
        if tensor_bytes(kept["model"]).decode() != model or per_call != tokens_per_call:
            raise ValueError(
                f"{path} was written by another model, or one that reads {per_call:,} tokens at once (here "
                f"{tokens_per_call:,}); go on with that one, or remove the file to begin anew"
            )
        text = tensor_bytes(kept["text"]).decode()
        memory = {name: tensor for name, tensor in state.tensors.items() if not name.startswith(PREFIX)}
        return cls(
            MemoryState(memory, state.fingerprint),
            Window(text, origin, context, kept["known"].tolist()),
            kept["waiting"].tolist(),
            tensor_bytes(kept["undecoded"]),
            taken,
            checksum,
        )


def bytes_tensor(content: bytes) -> Tensor:
    """Bytes as a tensor (bytes,)."""
    return torch.tensor(list(content), dtype=torch.uint8)


def tensor_bytes(tensor: Tensor) -> bytes:
    """The bytes of a tensor (bytes,)."""
    return tensor.numpy().tobytes()
