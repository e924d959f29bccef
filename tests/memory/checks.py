"""Models, documents and comparisons that the contract tests share."""

import random
from itertools import pairwise

import torch

from memenc import MemencModel, MemoryState
from memenc.state import same_shape
from tests.backbones import FIRST_ID, SEGMENT, VOCABULARY, tiny_backbone
from tests.memory.designs import DESIGNS

# No backbone pads with 3 or 4; one that counts positions from its padding token would count them wrong.
SPECIAL = {"prefix": [3], "suffix": [4], "padding": 0}
CAPACITY = SEGMENT - 2
EXACT = {torch.float64: 1e-12, torch.float32: 1e-5}
# Gradients pass through more sums than outputs do: 3e-5 was seen in float32, 6e-14 in float64.
EXACT_GRADIENTS = {torch.float64: 1e-12, torch.float32: 1e-4}
# Another shape of the call sums in another order, here in float32.
OTHER_SHAPE = 1e-6


def build(design="compressive_mean", kind="bert", dtype=torch.float32, lively=True, model_class=MemencModel, **options):
    """Model of one row of the design table; `lively` moves every parameter away from its start."""
    row = DESIGNS[design] if isinstance(design, str) else design
    every_layer = {"memory_layers": "all", "special_tokens": SPECIAL}
    options = {**every_layer, "segments_per_call": 1, "segment_length": SEGMENT, **options}
    backbone = tiny_backbone(kind)
    model = model_class.from_backbone(backbone, memory=row.memory, memory_options=dict(row.options), **options)
    if lively:
        enliven(model)
    return model.to(dtype).eval()


@torch.no_grad()
def enliven(model):
    """Read memory at full strength, and give every parameter outside the backbone a part in the output."""
    for name, parameter in model.named_parameters():
        if ".backbone." in name:
            continue
        if name.endswith("_bias"):
            parameter.zero_()
        parameter.add_(0.2 * torch.randn_like(parameter))


def tokens(*shape):
    return torch.randint(FIRST_ID, VOCABULARY, shape)


def ragged(documents, width=None, pad="right"):
    """Ids and mask (batch, width) of a list of id tensors; masked places hold ids of real tokens."""
    width = max([len(document) for document in documents] + [width or 0])
    ids, mask = tokens(len(documents), width), torch.zeros(len(documents), width, dtype=torch.long)
    for row, document in enumerate(documents):
        count = len(document)
        places = {
            "right": range(count),
            "left": range(width - count, width),
            "interior": sorted(random.sample(range(width), count)),
        }[pad]
        places = torch.tensor(list(places), dtype=torch.long)
        ids[row, places], mask[row, places] = document, 1
    return ids, mask


def documents_of(*lengths):
    return [tokens(length) for length in lengths]


def difference(left, right):
    """Largest deviation relative to the largest finite number of `right`; infinite where they differ in kind."""
    left, right = left.detach(), right.detach()
    assert left.shape == right.shape and left.dtype == right.dtype
    if not left.is_floating_point():
        return 0.0 if torch.equal(left, right) else float("inf")
    finite = right.isfinite()
    if not torch.equal(left.isfinite(), finite) or not torch.equal(left[~finite], right[~finite]):
        return float("inf")
    if not finite.any():
        return 0.0
    left, right = left[finite], right[finite]
    return float((left - right).abs().max() / right.abs().max().clamp(min=1e-30))


def assert_close(left, right, tolerance, what=""):
    found = difference(left, right)
    assert found <= tolerance, f"{what} differs by {found:.2e}, allowed {tolerance:.0e}; seed {torch.initial_seed()}"


def assert_states_close(left, right, tolerance):
    assert left.tensors.keys() == right.tensors.keys() and left.fingerprint == right.fingerprint
    for name, tensor in right.tensors.items():
        assert_close(*same_shape(left.tensors[name], tensor), tolerance, name)


def assert_states_equal(left, right):
    assert left.tensors.keys() == right.tensors.keys() and left.fingerprint == right.fingerprint
    for name, tensor in right.tensors.items():
        assert torch.equal(*same_shape(left.tensors[name], tensor)), (
            f"{name} is not bit-identical; seed {torch.initial_seed()}"
        )


def gradients(model, output):
    """Gradient by parameter name of a number to which every output contributes, each with another weight."""
    generator = torch.Generator().manual_seed(0)
    total = 0.0 if output.auxiliary_loss is None else output.auxiliary_loss
    for value in (output.last_hidden_state, output.pooler_output):
        total = total + (value * torch.randn(value.shape, generator=generator, dtype=value.dtype)).sum()
    model.zero_grad(set_to_none=True)
    total.backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def assert_gradients_close(left, right, tolerance):
    """Relative to each parameter's own gradient, or to 1e-3 of the largest one: some are zero but for rounding."""
    largest = max(float(gradient.abs().max()) for gradient in right.values() if gradient is not None)
    for name, wanted in right.items():
        if wanted is None:
            assert left[name] is None, f"{name} got a gradient in one schedule only"
            continue
        allowed = tolerance * max(float(wanted.abs().max()), 1e-3 * largest)
        found = float((left[name] - wanted).abs().max())
        assert found <= allowed, f"gradient of {name}: {found:.2e} > {allowed:.2e}; seed {torch.initial_seed()}"


def read(model, ids, mask=None, segments_per_call=None, **arguments):
    if segments_per_call is not None:
        model.config.segments_per_call = segments_per_call
    return model(ids, mask, **arguments)


def check_schedules_agree(model, ids, mask, tolerance):
    """I1: outputs, state and gradients of every way to group the segments."""
    model.train()
    wanted = read(model, ids, mask, 1)
    wanted_gradients = gradients(model, wanted)
    for segments_per_call in (2, 3, 100):
        got = read(model, ids, mask, segments_per_call)
        assert_close(got.last_hidden_state, wanted.last_hidden_state, tolerance, "last_hidden_state")
        assert_close(got.pooler_output, wanted.pooler_output, tolerance, "pooler_output")
        assert_states_close(got.memory, wanted.memory, tolerance)
        if wanted.auxiliary_loss is not None:
            assert_close(got.auxiliary_loss, wanted.auxiliary_loss, tolerance, "auxiliary_loss")
        assert_gradients_close(gradients(model, got), wanted_gradients, EXACT_GRADIENTS[got.pooler_output.dtype])


@torch.no_grad()
def check_padding_is_nothing(model, document, others, pads=("right", "left", "interior"), constant_shape=True):
    """I3: a document's state is bit-identical whatever its batch holds, at a constant shape of the backbone call."""
    alone = None
    for neighbours in ([tokens(1) for _ in others], others):
        for pad in pads:
            ids, mask = ragged([document, *neighbours], len(document) + 3 * CAPACITY, pad)
            output = read(model, ids, mask, 1)
            state, vector = output.memory.select([0]), output.pooler_output[0]
            states = output.last_hidden_state[0, mask[0].bool()]
            assert not output.last_hidden_state[~mask.bool()].any(), "token states at padding are zeros"
            if alone is None:
                alone = state, vector, states
            if constant_shape:
                assert_states_equal(state, alone[0])
                assert torch.equal(vector, alone[1]) and torch.equal(states, alone[2]), f"seed {torch.initial_seed()}"
            else:
                assert_states_close(state, alone[0], OTHER_SHAPE)
                assert_close(vector, alone[1], OTHER_SHAPE)
                assert_close(states, alone[2], OTHER_SHAPE)


def cut_at_random(document, pieces):
    """The document in `pieces` pieces, some of them empty and some of one token."""
    cuts = sorted(random.choices(range(len(document) + 1), k=pieces - 1))
    if len(cuts) > 3:
        cuts[1] = cuts[0]
        cuts[3] = min(cuts[2] + 1, len(document))
    cuts = [0, *sorted(cuts), len(document)]
    return [document[start:end] for start, end in pairwise(cuts)]


def feed(model, pieces_by_document, path=None):
    """Read documents piece by piece, the state saved and loaded between if there is a `path`: vector and state."""
    memory = None
    for pieces in zip(*pieces_by_document, strict=True):
        ids, mask = ragged(list(pieces))
        output = model(ids, mask, memory=memory)
        memory = output.memory
        if path is not None:
            memory.save(path)
            memory = MemoryState.load(path)
    return output.pooler_output, memory


@torch.no_grad()
def check_pieces_equal_the_whole(model, documents, tolerance, path):
    """I2: documents read in pieces, the state saved and loaded between, leave what they leave at once."""
    whole = model(*ragged(documents))
    vector, memory = feed(model, [cut_at_random(document, 9) for document in documents], path)
    assert_states_close(memory, whole.memory, tolerance)
    assert_close(vector, whole.pooler_output, tolerance, "pooler_output")


@torch.no_grad()
def check_nan_in_padding_stays_there(model, ids, mask):
    """I3: what is read is the same to the bit if the embedding of padding is not a number."""
    padding = model.encoder.special.padding
    wanted = model(ids, mask)
    model.get_input_embeddings().weight[padding] = torch.nan
    got = model(torch.where(mask.bool(), ids, padding), mask)
    assert got.last_hidden_state.isfinite().all()
    assert torch.equal(got.last_hidden_state, wanted.last_hidden_state)
    assert torch.equal(got.pooler_output, wanted.pooler_output)
    assert_states_equal(got.memory, wanted.memory)


@torch.no_grad()
def check_state_has_constant_size(model):
    """I4: a state has the same tensors, of the same shapes, whatever was read."""
    fresh = model.initial_memory(2)
    kinds = {name: (tensor.shape, tensor.dtype) for name, tensor in fresh.tensors.items()}
    for segments in (1, 5):
        memory = model(tokens(2, segments * CAPACITY + 1)).memory
        assert memory.nbytes == fresh.nbytes
        assert {name: (tensor.shape, tensor.dtype) for name, tensor in memory.tensors.items()} == kinds


def gradient_by_segment(model, segments, on_segments, segments_per_call=1):
    """Gradient norms (segments, tokens) that a number of one segment's states sends to embeddings, for each of some."""
    embedded = []
    hook = model.get_input_embeddings().register_forward_hook(
        lambda module, inputs, output: embedded.append(output.requires_grad_().clone()) or embedded[-1]
    )
    states = read(model, tokens(1, segments * CAPACITY), None, segments_per_call).last_hidden_state
    hook.remove()
    found = []
    for segment in on_segments:
        own = states.unflatten(1, (segments, CAPACITY))[:, segment]
        each = torch.autograd.grad((own * torch.randn_like(own)).sum(), embedded, allow_unused=True, retain_graph=True)
        rows = [torch.zeros_like(e) if g is None else g for e, g in zip(embedded, each, strict=True)]
        found.append(torch.cat(rows).norm(dim=-1))
    return found


def check_gradient_ends_at_the_horizon(model, segments_per_call):
    """I5: gradient flows within `bptt_segments` of 3 and not a bit of it beyond."""
    read_on = (2, 4, 6)
    for segment, norms in zip(read_on, gradient_by_segment(model, 7, read_on, segments_per_call), strict=True):
        norms, begin = norms.norm(dim=-1), segment // 3 * 3
        assert not norms[:begin].any(), "gradient from beyond the horizon"
        assert (norms[max(begin, segment - 1) : segment + 1] > 0).all(), "no gradient within the horizon"


def check_gradient_reaches_every_parameter(model):
    """I5: every parameter has a finite gradient, and those beside the backbone one that is not zero."""
    found = gradients(model, model.train()(tokens(2, 6 * CAPACITY + 5)))
    for name, gradient in found.items():
        assert gradient is not None and gradient.isfinite().all(), name
        assert ".backbone." in name or gradient.abs().max() > 0, f"{name} gets no gradient"


@torch.no_grad()
def change_without_memory(model):
    """I5: relative change of the token states of a segment when the memory of those before is knocked out."""
    before, ids = tokens(1, 4 * CAPACITY), tokens(1, CAPACITY)
    with_memory = model(ids, memory=model(before).memory).last_hidden_state
    without = model(ids, memory=model.initial_memory(1)).last_hidden_state
    return float((with_memory - without).norm() / without.norm())


@torch.no_grad()
def check_no_token_is_lost(model):
    """I10: tokens seen are tokens given, and each has a state."""
    mask = torch.rand(4, 61) < torch.tensor([1.0, 0.7, 0.1, 0.0])[:, None]
    output = model(tokens(4, 61), mask)
    assert output.memory.tokens_seen.tolist() == mask.sum(1).tolist()
    assert (output.last_hidden_state.abs().sum(-1) > 0).equal(mask)
    again = torch.rand(4, 19) < 0.5
    assert model(tokens(4, 19), again, memory=output.memory).memory.tokens_seen.equal(mask.sum(1) + again.sum(1))


@torch.no_grad()
def check_empty_documents_touch_nobody(model):
    """I11: an empty or tiny neighbour has a defined vector and changes no bit of another document."""
    document = tokens(3 * CAPACITY + 1)
    wanted = None
    for neighbour in (tokens(0), tokens(1), tokens(CAPACITY)):
        output = model(*ragged([document, neighbour]))
        assert output.pooler_output.isfinite().all() and output.last_hidden_state.isfinite().all()
        wanted = wanted or output
        assert torch.equal(output.pooler_output[0], wanted.pooler_output[0])
        assert_states_equal(output.memory.select([0]), wanted.memory.select([0]))
    assert_states_equal(wanted.memory.select([1]), model.initial_memory(1))
