"""Ways to damage a file: any file, or one in the safetensors format. Python's `random` chooses place and kind."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from typing import Any

Mutation = Callable[[bytes], bytes]


def header_of(content: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and data of a safetensors file."""
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def with_header(header: dict[str, Any], rest: bytes) -> bytes:
    """A safetensors file of a header and data."""
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + rest


def flip_bit(content: bytes) -> bytes:
    place = random.randrange(8 * len(content))
    changed = bytearray(content)
    changed[place // 8] ^= 1 << place % 8
    return bytes(changed)


def flip_bit_of_header(content: bytes) -> bytes:
    return flip_bit(content[:1500]) + content[1500:]


def truncate(content: bytes) -> bytes:
    return content[: random.randrange(len(content))]


def extend(content: bytes) -> bytes:
    return content + random.randbytes(random.choice([1, 8, 64]))


def overwrite(content: bytes) -> bytes:
    start = random.randrange(len(content))
    return content[:start] + random.randbytes(random.randrange(1, 40)) + content[start + 40 :]


def rename_tensor(content: bytes) -> bytes:
    header, rest = header_of(content)
    name = random.choice(tensors_of(header))
    header[name + random.choice("xyz.")] = header.pop(name)
    return with_header(header, rest)


def swap_tensors(content: bytes) -> bytes:
    header, rest = header_of(content)
    one, other = random.sample(tensors_of(header), 2)
    header[one], header[other] = header[other], header[one]
    return with_header(header, rest)


def drop_tensor(content: bytes) -> bytes:
    header, rest = header_of(content)
    header.pop(random.choice(tensors_of(header)))
    return with_header(header, rest)


def change_shape(content: bytes) -> bytes:
    header, rest = header_of(content)
    entry = header[random.choice(tensors_of(header))]
    shapes = [[1, *entry["shape"]], [*entry["shape"], 1], [], entry["shape"][::-1], [-1], [2**63], "x", None]
    entry["shape"] = random.choice(shapes)
    return with_header(header, rest)


def change_type(content: bytes) -> bytes:
    header, rest = header_of(content)
    entry = header[random.choice(tensors_of(header))]
    entry["dtype"] = random.choice(["F32", "I32", "U64", "F16", "BF16", "F8_E4M3", "C64", "X", 3])
    return with_header(header, rest)


def change_metadata(content: bytes) -> bytes:
    header, rest = header_of(content)
    metadata = header["__metadata__"]
    key = random.choice(list(metadata))
    change = random.choice(["drop", "change", "swap"])
    if change == "drop":
        del metadata[key]
    elif change == "change":
        metadata[key] = random.choice(["", "0", "2", metadata[key] + "0", metadata[key].upper() + " "])
    else:
        header["__metadata__"] = random.choice([{}, None, [], "x", {key: 1}])
    return with_header(header, rest)


def tensors_of(header: dict[str, Any]) -> list[str]:
    return [name for name in header if name != "__metadata__"]


ANY_FILE: tuple[Mutation, ...] = (flip_bit, truncate, extend, overwrite)
SAFETENSORS: tuple[Mutation, ...] = (
    *ANY_FILE,
    flip_bit_of_header,
    rename_tensor,
    swap_tensors,
    drop_tensor,
    change_shape,
    change_type,
    change_metadata,
)
