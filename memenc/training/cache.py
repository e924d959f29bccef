"""What the lower layers of a frozen backbone give for a segment is computed once and kept on disk."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BufferedRandom
from pathlib import Path
from typing import Any, cast, final

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from memenc.backbones.attention import GroupContext, HandedDown
from memenc.encoder.segment_encoder import SegmentEncoder
from memenc.memory.none import NoMemory

# Of the space that is free, so much may be taken; segments beyond it are computed every time.
SHARE_OF_DISK = 0.5
CHECK_TOKENS = 8
Forward = Callable[..., Any]


@contextmanager
def cached_lower_layers(encoder: SegmentEncoder, folder: str | Path) -> Iterator[int]:
    """Inside the context, layers that cannot change compute each segment once; gives how many layers these are.

    They are those below the first memory, if nothing of the backbone is trained: what enters the first layer with a
    memory is then a function of the segment's tokens alone. Without any memory it is the whole backbone.

    Args:
        encoder: as it is trained.
        folder: for the file with the token states; it is left there.
    """
    constant = constant_layers(encoder)
    path = Path(folder) / "token_states.bin"
    if constant == 0 or not skipping_is_exact(encoder.backbone, constant):
        yield 0
        return
    # It may just have been frozen: from here on it reads without dropout.
    encoder.train(encoder.training)
    with path.open("w+b") as file:
        backbone: Any = encoder.backbone
        cache = TokenStates(file, int(shutil.disk_usage(folder).free * SHARE_OF_DISK))
        backbone.forward = LowerLayers(backbone, constant, cache).forward
        try:
            yield constant
        finally:
            del backbone.forward


def constant_layers(encoder: SegmentEncoder) -> int:
    """How many layers, from the bottom, give the same for a segment whatever is trained and was read before."""
    learns = any(parameter.requires_grad for parameter in encoder.backbone.parameters())
    if learns or encoder.row_tokens is not None or encoder.attention_dropout or encoder.readout_layers:
        return 0
    with_memory = [index for index, memory in enumerate(encoder.memories) if not isinstance(memory, NoMemory)]
    return min(with_memory, default=len(encoder.memories))


@final
class TokenStates:
    """Token states of segments in a file, found by the segment's token ids.

    Args:
        file: to write to and read from.
        limit: bytes it may have.
    """

    def __init__(self, file: BufferedRandom, limit: int) -> None:
        self.file, self.limit = file, limit
        self.places: dict[bytes, tuple[int, torch.Size, torch.dtype]] = {}
        self.size = 0

    def __contains__(self, key: bytes) -> bool:
        return key in self.places

    def keep(self, key: bytes, states: Tensor) -> None:
        """Write the states (tokens, hidden) of a segment, if there is room."""
        content = states.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()
        if self.size + len(content) <= self.limit:
            self.file.seek(self.size)
            self.file.write(content)
            self.places[key] = self.size, states.shape, states.dtype
            self.size += len(content)

    def find(self, key: bytes) -> Tensor:
        """States (tokens, hidden) that were kept."""
        start, shape, dtype = self.places[key]
        self.file.seek(start)
        states = torch.empty(shape, dtype=dtype)
        content: Any = states.view(torch.uint8).numpy()
        self.file.readinto(content)
        return states


@final
class LowerLayers:
    """Stands in for a backbone's forward: what is constant comes from the cache, the rest is computed.

    Args:
        backbone: of which nothing is trained.
        constant: layers from the bottom that have no memory.
        cache: what enters the layer above them, per segment.
    """

    def __init__(self, backbone: PreTrainedModel, constant: int, cache: TokenStates) -> None:
        self.backbone, self.constant, self.cache = backbone, constant, cache
        self.compute: Forward = backbone.forward

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        memory_context: HandedDown | None = None,
        token_type_ids: Tensor | None = None,
        **others: Any,
    ) -> Any:
        """As the backbone's own, for rows padded on the right (rows, tokens); with more arguments uncached."""
        # Where a question or an instruction stands before the document, the document is the second of a pair.
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        if memory_context is None or others:
            return self.compute(input_ids, attention_mask, memory_context=memory_context, **types, **others)
        rows, width = input_ids.shape
        lengths = [width] * rows if attention_mask is None else attention_mask.sum(1).tolist()
        named = torch.stack([input_ids, *types.values()], dim=1).cpu()
        keys = [key_of(ids[:, :length]) for ids, length in zip(named, lengths, strict=True)]
        fresh = self._computed(input_ids, attention_mask, types, keys, lengths)
        known = [fresh[key] if key in fresh else self.cache.find(key).to(input_ids.device) for key in keys]
        states = nn.utils.rnn.pad_sequence([*known, known[0].new_zeros(width, known[0].shape[1])], batch_first=True)
        cast(GroupContext, memory_context.context).pass_over(self.constant)
        if self.constant == self.backbone.config.num_hidden_layers:
            return BaseModelOutput(last_hidden_state=cast(Any, states[:rows]))
        with entered_with(self.backbone, self.constant, states[:rows]):
            return self.compute(
                input_ids=input_ids, attention_mask=attention_mask, memory_context=memory_context, **types
            )

    @torch.no_grad()
    def _computed(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        types: dict[str, Tensor],
        keys: Sequence[bytes],
        lengths: Sequence[int],
    ) -> dict[bytes, Tensor]:
        """States of the rows that the cache does not have yet; they go into it."""
        rows = [row for row, key in enumerate(keys) if key not in self.cache]
        if not rows:
            return {}
        mask = None if attention_mask is None else attention_mask[rows]
        more = {name: each[rows] for name, each in types.items()}
        states = lower_states(self.backbone, self.compute, self.constant, input_ids[rows], mask, **more)
        found = {keys[row]: state[: lengths[row]] for row, state in zip(rows, states, strict=True)}
        for key, state in found.items():
            self.cache.keep(key, state)
        return found


def key_of(ids: Tensor) -> bytes:
    """Name of a segment with these token ids, and token types if it has two, (1 or 2, tokens)."""
    return hashlib.blake2b(ids.contiguous().numpy().tobytes(), digest_size=16, person=bytes([len(ids)])).digest()


def layers_of(backbone: PreTrainedModel) -> Sequence[nn.Module]:
    """The layers in their order; none where they are no plain list, as in ALBERT, whose layers are one."""
    count = backbone.config.num_hidden_layers
    lists = [part for part in backbone.modules() if isinstance(part, nn.ModuleList) and len(part) == count]
    return list(lists[0]) if len(lists) == 1 else []


@contextmanager
def replaced(layers: Sequence[nn.Module], forwards: Sequence[Forward]) -> Iterator[None]:
    """Layers that do something else inside the context."""
    try:
        for layer, forward in zip(layers, forwards, strict=True):
            layer.forward = forward
        yield
    finally:
        for layer in layers:
            vars(layer).pop("forward", None)


def passed_on(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """A layer that does nothing."""
    return hidden_states


def lower_states(
    backbone: PreTrainedModel,
    compute: Forward,
    constant: int,
    input_ids: Tensor,
    attention_mask: Tensor | None,
    **types: Tensor,
) -> Tensor:
    """What enters layer `constant`, (rows, tokens, hidden); the backbone's output where there is no such layer."""
    layers = layers_of(backbone)
    if constant == backbone.config.num_hidden_layers:
        return compute(input_ids=input_ids, attention_mask=attention_mask, **types).last_hidden_state
    entering: list[Tensor] = []

    def catch(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        entering.append(hidden_states)
        return hidden_states

    above = layers[constant:]
    with replaced(above, [catch, *[passed_on] * (len(above) - 1)]):
        compute(input_ids=input_ids, attention_mask=attention_mask, **types)
    return entering[0]


@contextmanager
def entered_with(backbone: PreTrainedModel, constant: int, states: Tensor) -> Iterator[None]:
    """A backbone whose layers below `constant` do nothing, and whose next one gets these states."""
    layers = layers_of(backbone)
    layer = cast(Forward, layers[constant].forward)

    def enter(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        return layer(states, *args, **kwargs)

    with replaced(layers[: constant + 1], [*[passed_on] * constant, enter]):
        yield


@torch.no_grad()
def skipping_is_exact(backbone: PreTrainedModel, constant: int) -> bool:
    """Whether this kind of backbone gives bit for bit the same when it is entered at layer `constant`."""
    layers = layers_of(backbone)
    if constant == backbone.config.num_hidden_layers:
        return True
    if not layers:
        return False
    was_training = backbone.training
    backbone.eval()
    try:
        ids = torch.arange(1, CHECK_TOKENS + 1, device=backbone.device)[None] % backbone.config.vocab_size
        mask = torch.ones_like(ids)
        wanted = backbone(input_ids=ids, attention_mask=mask).last_hidden_state
        states = lower_states(backbone, backbone.forward, constant, ids, mask)
        with entered_with(backbone, constant, states):
            return torch.equal(backbone(input_ids=ids, attention_mask=mask).last_hidden_state, wanted)
    finally:
        backbone.train(was_training)
