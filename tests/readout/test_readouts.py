"""Every readout against a direct computation from all token states of the document, over random splits."""

import math
import random

import pytest
import torch

from memenc.memory.document import REFERENCE_TOKENS, TEMPERATURES
from memenc.readout import READOUTS
from tests.backbones import HIDDEN, SEGMENT
from tests.memory.checks import (
    CAPACITY,
    SPECIAL,
    assert_close,
    build,
    cut_at_random,
    documents_of,
    feed,
    ragged,
    tokens,
)

LENGTHS = (3 * CAPACITY + 5, CAPACITY, 4, 6 * CAPACITY, 1)
QUERIES = 3


def readout_model(readout, **options):
    options = {"document_queries": QUERIES, "segments_per_call": random.choice([1, 2, 100]), **options}
    return build("average_weighted", dtype=torch.float64, readout=readout, **options)


def all_states(model, document):
    """States (tokens, hidden) of every segment, special tokens included, as the backbone puts them out."""
    caught = []
    hook = model.backbone.register_forward_hook(
        lambda module, inputs, output: caught.append(output.last_hidden_state.detach())
    )
    per_call, model.config.segments_per_call = model.config.segments_per_call, 1
    model(document[None])
    hook.remove()
    model.config.segments_per_call = per_call
    lengths = [min(CAPACITY, len(document) - start) + 2 for start in range(0, len(document), CAPACITY)]
    return [states[0, :length] for states, length in zip(caught, lengths, strict=True)]


@torch.no_grad()
def check_readout(model, expected, tolerance=1e-11):
    """`expected(segments)` of every document, alone, in a batch, and read in random pieces."""
    documents = documents_of(*LENGTHS)
    wanted = torch.stack([expected(all_states(model, document)) for document in documents])
    assert_close(model(*ragged(documents)).pooler_output, wanted, tolerance, "pooler_output")
    for index, document in enumerate(documents):
        alone = model(document[None]).pooler_output[0]
        assert_close(alone, wanted[index], tolerance, f"document {index} alone")
    vector, memory = feed(model, [cut_at_random(document, 5) for document in documents])
    assert_close(vector, wanted, tolerance, "in pieces")
    assert_close(model.read_out(memory), wanted, tolerance, "from the state alone")


def test_every_readout_has_a_test():
    assert set(READOUTS) == {"first", "mean", "max", "last", "attention", "memory"}


def test_mean():
    check_readout(readout_model("mean"), lambda segments: torch.cat(segments).mean(0))


def test_max():
    check_readout(readout_model("max"), lambda segments: torch.cat(segments).amax(0))


def test_first():
    check_readout(readout_model("first"), lambda segments: segments[0][0])


def test_last():
    check_readout(readout_model("last"), lambda segments: segments[-1][0])


def softmax_pooling(states, query, scale=1.0):
    return (scale * (query @ states.T)).softmax(-1) @ states


def interpolated_pooling(states, query):
    """At temperature log(tokens) / log(512), linear between the exact poolings at the neighbouring temperatures."""
    wanted = math.log(len(states)) / math.log(REFERENCE_TOKENS)
    lower = max(t for t in TEMPERATURES if t <= wanted)
    upper = min(t for t in TEMPERATURES if t > lower)
    share = (wanted - lower) / (upper - lower)
    poolings = [softmax_pooling(states, query, temperature) for temperature in (lower, upper)]
    return (1 - share) * poolings[0] + share * poolings[1]


def hard_pooling(states, query):
    return states[(query @ states.T).argmax(-1)]


POOLINGS = {"fixed": softmax_pooling, "length": interpolated_pooling, "hard": hard_pooling}


@pytest.mark.parametrize("temperature", POOLINGS)
@pytest.mark.parametrize("sharpness", (0.1, 5.0, 100.0))
def test_attention(temperature, sharpness):
    model = readout_model("attention", document_temperature=temperature)
    query, mixture = model.encoder.document_memory.query.data, model.readout.mixture.data
    query.copy_(sharpness * torch.randn_like(query))

    def expected(segments):
        pooled = POOLINGS[temperature](torch.cat(segments), query)
        return pooled.mean(0) + mixture @ pooled.flatten()

    check_readout(model, expected)


def test_attention_is_the_mean_of_the_queries_at_the_start():
    model = build("none", dtype=torch.float64, lively=False, readout="attention", document_temperature="fixed")
    query = model.encoder.document_memory.query.data
    check_readout(model, lambda segments: softmax_pooling(torch.cat(segments), query).mean(0))


@pytest.mark.parametrize("design", ("none", "windowed_no_divisor", "average_cumulative", "compressive_learned_query"))
@pytest.mark.parametrize("temperature", POOLINGS)
def test_memory_starts_as_the_mean(design, temperature):
    model = build(design, dtype=torch.float64, lively=False, readout="memory", document_temperature=temperature)
    check_readout(model, lambda segments: torch.cat(segments).mean(0), 1e-12)


def test_memory_of_a_window():
    """Beside the mean and the document pooling: attention over the window of last states and the unfinished segment."""
    window = 21
    model = build("windowed_no_divisor", dtype=torch.float64, document_temperature="fixed", document_queries=QUERIES)
    model = rebuild_with_window(model, window)
    query, own_query = model.encoder.document_memory.query.data, model.readout.query.data
    mixture, bias = model.readout.mixture.data, model.encoder.top_memory.window_bias.data

    def expected(segments):
        states = torch.cat(segments)
        full = [segment for segment in segments if len(segment) == SEGMENT]
        kept = torch.cat([states[:0], *full])[-window:]
        rest = segments[-1] if len(segments[-1]) < SEGMENT else states[:0]
        logits = torch.cat([own_query @ kept.T + bias, own_query @ rest.T], 1)
        pooled = torch.cat([softmax_pooling(states, query), logits.softmax(-1) @ torch.cat([kept, rest])])
        return states.mean(0) + mixture @ pooled.flatten()

    check_readout(model, expected)


def rebuild_with_window(model, window):
    options = {"memory": "windowed", "memory_options": {"window": window}, "document_queries": QUERIES}
    again = (
        type(model)
        .from_backbone(
            model.backbone,
            **options,
            segment_length=SEGMENT,
            special_tokens=SPECIAL,
            document_temperature="fixed",
        )
        .double()
    )
    for parameter in (*again.readout.parameters(), *again.encoder.top_memory.parameters()):
        parameter.data.copy_(torch.randn_like(parameter))
    return again.eval()


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("temperature", POOLINGS)
@torch.no_grad()
def test_an_empty_document_reads_as_zeros(readout, temperature):
    model = readout_model(readout, document_temperature=temperature)
    vector = model(*ragged([tokens(0), tokens(20)])).pooler_output
    assert vector.shape == (2, HIDDEN) and not vector[0].any() and vector[1].any()


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("temperature", POOLINGS)
def test_gradients_of_ragged_batches_are_finite(readout, temperature):
    model = readout_model(readout, document_temperature=temperature)
    vector = model(*ragged(documents_of(0, 3, 3 * CAPACITY, CAPACITY + 1))).pooler_output
    vector.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all(), name
    assert model.get_input_embeddings().weight.grad.abs().max() > 0


@pytest.mark.parametrize("temperature", POOLINGS)
def test_the_learned_queries_learn(temperature):
    model = readout_model("attention", document_temperature=temperature)
    model(tokens(2, 50)).pooler_output.square().sum().backward()
    assert model.encoder.document_memory.query.grad.abs().min() > 0


@torch.no_grad()
def test_the_mean_of_very_many_tokens_stays_exact():
    model = build("none", readout="mean")
    ids = tokens(1, CAPACITY).repeat(1, 300)
    once = model(ids[:, :CAPACITY]).pooler_output
    assert_close(model(ids).pooler_output, once, 1e-6, "mean of 300 equal segments")
