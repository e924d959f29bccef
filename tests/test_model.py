"""The model from outside: outputs, configuration, and inputs it must refuse."""

import random

import pytest
import torch
from transformers import AutoModel, PreTrainedTokenizerFast, pipeline

from memenc import MemencConfig, MemencForSequenceClassification, MemencModel, available_memories
from memenc.readout import READOUTS
from tests.backbones import HIDDEN, SEGMENT, VOCABULARY, tiny_backbone
from tests.memory.checks import (
    CAPACITY,
    SPECIAL,
    assert_close,
    assert_states_close,
    build,
    documents_of,
    ragged,
    tokens,
)


def make(**options):
    return MemencModel.from_backbone(tiny_backbone(), **{"memory": "none", "segment_length": SEGMENT, **options}).eval()


@torch.no_grad()
def test_outputs():
    model = build()
    ids, mask = ragged(documents_of(3 * CAPACITY + 1, 4), pad="interior")
    output = model(ids, mask)
    assert output.last_hidden_state.shape == (*ids.shape, HIDDEN) and output.pooler_output.shape == (2, HIDDEN)
    assert output.auxiliary_loss is None and len(output.memory) == 2
    assert output.memory.tokens_seen.tolist() == mask.sum(1).tolist()
    without = model(ids, mask, output_token_states=False)
    assert without.last_hidden_state is None and torch.equal(without.pooler_output, output.pooler_output)
    states, vector, memory = model(ids, mask, return_dict=False)
    assert torch.equal(states, output.last_hidden_state) and torch.equal(vector, output.pooler_output)
    assert len(memory) == 2


@torch.no_grad()
def test_special_tokens_of_a_document_have_states_and_are_not_counted():
    model, document = build(dtype=torch.float64), tokens(2 * CAPACITY + 3)
    dressed = torch.cat([torch.tensor([3]), document, torch.tensor([4])])
    bare_output, output = model(document[None]), model(dressed[None])
    assert torch.equal(output.last_hidden_state[:, 1:-1], bare_output.last_hidden_state)
    assert torch.equal(output.pooler_output, bare_output.pooler_output)
    assert output.memory.tokens_seen.item() == len(document)
    assert output.last_hidden_state.abs().sum(-1).min() > 0
    bare = make(special_tokens=None)
    assert bare(dressed[None]).memory.tokens_seen.item() == len(document) + 2


@pytest.mark.parametrize("dtype", (torch.int32, torch.uint8), ids=str)
@torch.no_grad()
def test_ids_of_any_whole_type(dtype):
    model, ids = build(), tokens(2, 3 * CAPACITY)
    wanted = model(ids)
    assert torch.equal(model(ids.to(dtype)).pooler_output, wanted.pooler_output)
    assert torch.equal(model(ids.to(dtype), memory=wanted.memory).pooler_output, model(ids, memory=wanted.memory)[1])


@pytest.mark.parametrize("dtype", (torch.bool, torch.int32, torch.float32), ids=str)
@torch.no_grad()
def test_masks_of_any_type(dtype):
    model = build()
    ids, mask = ragged(documents_of(30, 3))
    assert torch.equal(model(ids, mask.to(dtype)).pooler_output, model(ids, mask).pooler_output)


BAD_INPUTS = {
    "no documents": (lambda: {"input_ids": tokens(0, 20)}, r"\(0, 20\), a batch of no documents; give at least one"),
    "path of a memory": (
        lambda: {"input_ids": tokens(2, 9), "memory": "contract.memory"},
        r"memory='contract.memory' is no MemoryState; .* MemoryState.load\(path\)",
    ),
    "float ids": (lambda: {"input_ids": torch.rand(2, 9)}, "whole numbers"),
    "one dimension": (lambda: {"input_ids": tokens(9)}, "batch, tokens"),
    "three dimensions": (lambda: {"input_ids": tokens(2, 3, 9)}, "batch, tokens"),
    "a list of ids": (lambda: {"input_ids": [[1, 2]]}, r"input_ids must be a tensor \(batch, tokens\), received list"),
    "a list for a mask": (lambda: {"input_ids": tokens(1, 2), "attention_mask": [[1, 1]]}, "attention_mask must be"),
    "mask of another length": (lambda: {"input_ids": tokens(2, 9), "attention_mask": torch.ones(2, 8)}, r"\(2, 8\)"),
    "mask of another batch": (lambda: {"input_ids": tokens(2, 9), "attention_mask": torch.ones(1, 9)}, r"\(1, 9\)"),
    "mask of four dimensions": (
        lambda: {"input_ids": tokens(2, 9), "attention_mask": torch.ones(2, 1, 9, 9)},
        "attention_mask",
    ),
    "second text": (
        lambda: {"input_ids": tokens(2, 9), "token_type_ids": torch.ones(2, 9, dtype=torch.long)},
        "token_type_ids",
    ),
}


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_bad_inputs_are_refused(case):
    inputs, message = BAD_INPUTS[case]
    with pytest.raises(ValueError, match=message):
        make()(**inputs())


@pytest.mark.parametrize("token", (VOCABULARY, -1))
def test_ids_beyond_the_vocabulary_are_no_words(token):
    said = rf"input_ids has {token}, but the backbone knows tokens 0 to {VOCABULARY - 1}; use the tokenizer"
    with pytest.raises(ValueError, match=said):
        make()(torch.full((1, 9), token))
    # What is padded is not looked at.
    assert make()(torch.full((1, 9), token), torch.zeros(1, 9)).memory.tokens_seen.item() == 0


def test_zero_token_types_are_accepted():
    ids = tokens(2, 9)
    model = make()
    assert torch.equal(model(ids, token_type_ids=torch.zeros_like(ids))[1], model(ids)[1])


BAD_OPTIONS = {
    "memory that is no name": ({"memory": 5}, "memory=5: give the name of a design"),
    "options that are text": ({"memory_options": "window=8"}, "memory_options='window=8': give a dictionary"),
    "options of a design that are a number": (
        {"memory": "windowed+linear", "memory_options": {"windowed": 3}},
        "memory_options of windowed: 3; give a dictionary",
    ),
    "unknown memory": ({"memory": "infinite"}, ", ".join(available_memories())),
    "unknown option": ({"memory": "windowed", "memory_options": {"windows": 3}}, "no option windows; it has: window"),
    "option of none": ({"memory_options": {"window": 3}}, "no option window"),
    "unknown readout": ({"readout": "median"}, ", ".join(READOUTS)),
    "unknown temperature": ({"document_temperature": "warm"}, "warm"),
    "no queries": ({"document_queries": 0}, "document_queries=0: give a whole number"),
    "window no multiple of rate": (
        {"memory": "compressive", "memory_options": {"window": 18, "slots": 2, "rate": 4}},
        "a window of 16",
    ),
    "rate no divisor of the segment": (
        {"memory": "compressive", "memory_options": {"window": 18, "slots": 2, "rate": 3}},
        "segment length of 16",
    ),
    "slots no divisor": ({"memory": "moving_average", "memory_options": {"slots": 5}}, "slots=5"),
    "no window": ({"memory": "windowed", "memory_options": {"window": 0}}, "window=0"),
    "half a window": ({"memory": "windowed", "memory_options": {"window": 2.5}}, "window=2.5"),
    "negative window": ({"memory": "compressive", "memory_options": {"window": -4}}, "window=-4"),
    "unknown average": ({"memory": "moving_average", "memory_options": {"average": "median"}}, "median"),
    "unknown compression": ({"memory": "compressive", "memory_options": {"window": 16, "compression": "zip"}}, "zip"),
    "segment beyond the positions": ({"segment_length": 513}, "positions for 512"),
    "no segment": ({"segment_length": 0}, "segment_length=0"),
    "segment of special tokens": ({"segment_length": 2, "special_tokens": SPECIAL}, "no room beside 2"),
    "no segments per call": ({"segments_per_call": 0}, "segments_per_call=0"),
    "segments per call in words": ({"segments_per_call": "many"}, "many"),
    "unknown treatment of local layers": ({"sliding_window_layers": "some"}, "some"),
    "segment length in words": ({"segment_length": "16"}, "segment_length"),
    "half a token": ({"segment_length": 16.5}, "segment_length"),
    "no list of special tokens": ({"special_tokens": {"prefix": 1, "suffix": 2}}, "special_tokens"),
    "misspelt special tokens": ({"special_tokens": {"prefixes": [1]}}, "prefixes"),
    "misspelt option": ({"segment_lenght": 16}, "segment_lenght"),
}


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_bad_options_are_refused(case):
    options, message = BAD_OPTIONS[case]
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_a_configuration_without_backbone_says_how_to_get_one():
    with pytest.raises(ValueError, match="from_backbone"):
        MemencModel(MemencConfig())
    with pytest.raises(ValueError, match="from_backbone"):
        AutoModel.from_config(MemencConfig(backbone={"hidden_size": 3}))


def test_an_unknown_path_is_refused():
    with pytest.raises((OSError, ValueError)):
        MemencModel.from_backbone("no-such-model", memory="none")


@pytest.mark.parametrize("segments_per_call", (0, -1))
def test_segments_per_call_set_too_low_later_is_refused(segments_per_call):
    model = make()
    model.config.segments_per_call = segments_per_call
    with pytest.raises(ValueError):
        model(tokens(1, 50), output_token_states=False)


WORDS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "a", "the", "0", "cat", "sat", "on", "mat", "and", "then", "dog", "ran"]


@pytest.fixture
def tokenizer():
    tokenizers = pytest.importorskip("tokenizers")
    raw = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]")
    )
    raw.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    raw.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    names = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"}
    return PreTrainedTokenizerFast(tokenizer_object=raw, **names)


TEXT = "the cat sat on the mat and then the dog ran and the cat ran and a dog sat on the cat then 0 ran"


@torch.no_grad()
def test_texts_are_encoded_as_their_tokens_are(tokenizer):
    model = MemencModel.from_backbone(
        tiny_backbone(),
        memory="windowed",
        memory_options={"window": 16},
        segment_length=SEGMENT,
        tokenizer=tokenizer,
    )
    assert model.config.special_tokens == {"prefix": [1], "suffix": [2], "padding": 0}
    texts = [TEXT, "", "dog", TEXT * 3]
    model.train()
    vectors = model.encode(texts, tokenizer, documents_per_call=3, tokens_per_call=7)
    assert model.training and vectors.shape == (4, HIDDEN) and not vectors.requires_grad
    model.eval()
    for vector, text in zip(vectors, texts, strict=True):
        ids = torch.tensor([tokenizer(text)["input_ids"]], dtype=torch.long)
        assert_close(vector, model(ids).pooler_output[0], 1e-5, text[:20])
    assert_close(model.encode(TEXT, tokenizer), vectors[:1], 1e-5, "one text")
    pieces = (TEXT[start : start + 9] for start in range(0, len(TEXT), 9))
    assert_close(model.encode(pieces, tokenizer), vectors[:1], 1e-5, "pieces of one text")
    assert model.encode([], tokenizer).shape == (0, HIDDEN)
    for given in (5, None, b"dog"):
        with pytest.raises(ValueError, match=rf"received {given}; give a list of texts: \[text\] for one"):
            model.encode(given, tokenizer)


@torch.no_grad()
def test_texts_that_have_ended_are_not_read_on_with_longer_ones(tokenizer):
    options = {"segment_length": SEGMENT, "tokenizer": tokenizer}
    model = MemencModel.from_backbone(tiny_backbone(), memory="windowed", **options).eval()
    # Alike in characters, not in tokens, which are known only when they are read.
    texts = ["a" * 80, "0 " * 40, "cat " * 20]
    alone = torch.cat([model.encode(text, tokenizer) for text in texts])
    shapes = []
    model.register_forward_pre_hook(lambda _, arguments: shapes.append(tuple(arguments[0].shape)))
    together = model.encode(texts, tokenizer, tokens_per_call=3 * 2 * CAPACITY)
    # Whole segments first, as many as all that are left have, then the last segments of all.
    assert shapes == [(2, CAPACITY), (1, CAPACITY), (3, 40 - 2 * CAPACITY)]
    assert_close(together, alone, 1e-5, "side by side")


def test_little_of_what_is_read_is_padding(tokenizer):
    options = {"segment_length": SEGMENT, "tokenizer": tokenizer}
    model = MemencModel.from_backbone(tiny_backbone(), memory="windowed", **options).eval()
    counts = [int(10 ** random.uniform(0, 2.3)) for _ in range(40)]
    read = []
    model.register_forward_pre_hook(lambda _, arguments: read.append(arguments[0].numel()))
    model.encode(["cat " * count for count in counts], tokenizer)
    # Last segments are brought to the longest of those read with them, all other segments are full.
    assert sum(counts) <= sum(read) <= sum(counts) + (CAPACITY - 1) * len(counts)


@pytest.mark.parametrize("batch", (1, 2))
def test_the_pipeline_of_transformers_classifies_texts(tokenizer, batch):
    model = build(model_class=MemencForSequenceClassification, num_labels=3)
    texts = [TEXT, "dog", TEXT * 3]
    classify = pipeline("text-classification", model=model, tokenizer=tokenizer)
    for answer, text in zip(classify(texts, batch_size=batch), texts, strict=True):
        with torch.no_grad():
            probabilities = model(torch.tensor([tokenizer(text)["input_ids"]])).logits.softmax(-1)[0]
        assert answer["label"] == f"LABEL_{probabilities.argmax()}"
        assert answer["score"] == pytest.approx(float(probabilities.max()), rel=1e-4)


@torch.no_grad()
def test_the_automatic_schedule_gives_the_same_numbers():
    model = build(dtype=torch.float64)
    ids = tokens(2, 20 * CAPACITY + 3)
    one = model(ids)
    model.config.segments_per_call = "auto"
    automatic = model(ids)
    assert_states_close(automatic.memory, one.memory, 1e-12)
    assert_close(automatic.last_hidden_state, one.last_hidden_state, 1e-12, "last_hidden_state")
