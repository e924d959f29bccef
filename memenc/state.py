"""The state of reading: a plain value that goes in and comes out, never hidden on a module."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from memenc.storage.files import whole_file

FORMAT = "memenc.memory_state"
VERSION = 1


@dataclass(frozen=True)
class MemoryState:
    """Everything memenc remembers of a batch of documents: named tensors, the first axis of each being the document.

    Names are ``layers.<layer>.<tensor>`` (memory of one attention layer), ``top.<tensor>`` (the same design over the
    token states of the last layer), ``document.<tensor>`` (the document memory) and ``current.<tensor>`` (the segment
    that is not full yet, kept apart from what is committed).

    Args:
        tensors: name -> tensor of shape (documents, ...).
        fingerprint: identifies the design and the configuration that wrote it; other models refuse the state.
    """

    tensors: dict[str, Tensor]
    fingerprint: str

    def __len__(self) -> int:
        return next(iter(self.tensors.values())).shape[0]

    def __iter__(self) -> Iterator[MemoryState]:
        """The states of single documents."""
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        """Sizes, not numbers: a state has millions of them."""
        parts = ", ".join(dict.fromkeys(name.rpartition(".")[0] for name in self.tensors))
        documents = "1 document" if len(self) == 1 else f"{len(self)} documents"
        return f"MemoryState({documents}, {self.nbytes:,} bytes in {parts}; fingerprint {self.fingerprint})"

    def __getitem__(self, index: int) -> MemoryState:
        return self.select([index])

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors together; they grow with the text where the design says so (`nearest`, `summary`)."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    @property
    def tokens_seen(self) -> Tensor:
        """Own tokens read so far, (documents,)."""
        return self.tensors["document.tokens"] + self.tensors["current.length"]

    def part(self, name: str) -> dict[str, Tensor]:
        """Tensors below one name: ``part("document")`` or ``part("layers.0")``."""
        return part_of(self.tensors, name)

    def select(self, indices: Sequence[int] | Tensor) -> MemoryState:
        """Documents at these indices, in this order, repeated if an index is; or those where a mask is true."""
        index = torch.as_tensor(indices)
        if index.dtype == torch.bool:
            if index.shape != (len(self),):
                raise ValueError(f"select received a mask of shape {tuple(index.shape)} for {len(self)} documents")
            index = index.nonzero().squeeze(1)
        index = index.long()
        if index.numel() and (int(index.min()) < -len(self) or int(index.max()) >= len(self)):
            raise ValueError(f"select received indices {index.tolist()} for a state of {len(self)} documents")
        index = index % max(1, len(self))
        return self._map(lambda tensor: tensor.index_select(0, index.to(tensor.device)))

    def fork(self, count: int) -> MemoryState:
        """Repeat every document `count` times in a row, to read on in different ways."""
        if count < 1:
            raise ValueError(f"fork received {count}; give at least 1")
        return self._map(lambda tensor: tensor.repeat_interleave(count, dim=0))

    def detach(self) -> MemoryState:
        """The same state, cut off from the graph that computed it."""
        return self._map(without_history)

    def to(self, device: str | torch.device, non_blocking: bool = False) -> MemoryState:
        """The same state on another device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    @staticmethod
    def cat(states: Sequence[MemoryState]) -> MemoryState:
        """Documents of several states behind each other; where states grow, the shorter get zeros behind them.

        Raises:
            ValueError: no state was given, or they come from different models.
        """
        if not states:
            raise ValueError("MemoryState.cat received no states; give at least one")
        fingerprints = {state.fingerprint for state in states}
        if len(fingerprints) > 1:
            raise ValueError(f"MemoryState.cat received states of different models: {sorted(fingerprints)}")
        return MemoryState(
            {name: _cat([state.tensors[name] for state in states]) for name in states[0].tensors},
            states[0].fingerprint,
        )

    def save(self, path: str | Path) -> None:
        """Write one file: safetensors with format, version, fingerprint and a checksum over names, shapes and bytes.

        The file appears whole or not at all: it is written beside its place, flushed to disk and renamed. Folders on
        the way to it are made.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        # One number counts as contiguous whatever its stride: without a format a clone would keep a foreign stride.
        whole = torch.contiguous_format
        tensors = {name: tensor.detach().cpu().clone(memory_format=whole) for name, tensor in self.tensors.items()}
        metadata = {
            "format": FORMAT,
            "version": str(VERSION),
            "fingerprint": self.fingerprint,
            "checksum": _checksum(tensors, self.fingerprint),
        }
        with whole_file(path) as temporary:
            save_file(tensors, temporary, metadata)

    @staticmethod
    def load(path: str | Path) -> MemoryState:
        """Read a file written by :meth:`save`.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is damaged, foreign, or of a version this memenc does not read.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"no memory state at {path}")
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
        except (SafetensorError, ValueError, KeyError, TypeError, OverflowError, RuntimeError) as error:
            raise ValueError(f"{path} is not a readable memory state (damaged or foreign): {error}") from error
        if metadata.get("format") != FORMAT:
            raise ValueError(
                f"{path} holds format {metadata.get('format')!r}, not {FORMAT!r}; it is not a memory state"
            )
        if metadata.get("version") != str(VERSION):
            raise ValueError(f"{path} has version {metadata.get('version')!r}; this memenc reads version {VERSION}")
        fingerprint = metadata.get("fingerprint", "")
        if metadata.get("checksum") != _checksum(tensors, fingerprint):
            raise ValueError(f"{path} is damaged: its checksum does not match its content; read the documents again")
        return MemoryState(tensors, fingerprint)

    def _map(self, function: Callable[[Tensor], Tensor]) -> MemoryState:
        return MemoryState({name: function(tensor) for name, tensor in self.tensors.items()}, self.fingerprint)


def part_of(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Tensors whose names start with `name` and a dot, without it."""
    return {key[len(name) + 1 :]: tensor for key, tensor in tensors.items() if key.startswith(name + ".")}


def fingerprint_of(description: dict) -> str:
    """Short stable hash of a JSON-able description of a configuration."""
    text = json.dumps(description, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def fingerprint_of_weights(kind: str, weights: dict[str, Tensor]) -> str:
    """Hash of a kind of model and of every weight in it, by name."""
    digest = hashlib.sha256(kind.encode())
    for name, weight in sorted(weights.items()):
        digest.update(name.encode())
        plain = weight.detach().cpu().clone(memory_format=torch.contiguous_format)
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _checksum(tensors: dict[str, Tensor], fingerprint: str) -> str:
    # safetensors notices a truncated file but no flipped bit, so names, types, shapes and bytes are all hashed here.
    digest = hashlib.sha256(f"{FORMAT} {VERSION} {fingerprint}".encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return digest.hexdigest()


def without_history(tensor: Tensor) -> Tensor:
    """The tensor cut off from the graph that computed it; itself if there is none, with the room behind an archive."""
    return tensor.detach() if tensor.requires_grad else tensor


def grown(tensor: Tensor, shape: Sequence[int]) -> Tensor:
    """The tensor with zeros behind it in every dimension in which `shape` is larger."""
    if tensor.shape == torch.Size(shape):
        return tensor
    missing = [(0, wanted - present) for wanted, present in zip(shape, tensor.shape, strict=True)]
    return functional.pad(tensor, [number for pair in reversed(missing) for number in pair])


def same_shape(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Both with zeros behind them where one is longer: states that grow hold room for their neighbours' entries."""
    shape = [max(sizes) for sizes in zip(left.shape, right.shape, strict=True)]
    return grown(left, shape), grown(right, shape)


def _cat(tensors: Sequence[Tensor]) -> Tensor:
    longest = [max(sizes) for sizes in zip(*(tensor.shape[1:] for tensor in tensors), strict=True)]
    return torch.cat([grown(tensor, (len(tensor), *longest)) for tensor in tensors])
