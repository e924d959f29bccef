"""What a model may begin with: the type of its weights, and the mistakes that are easily made when one is loaded."""

import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from memenc import LongDocumentClassifier, MemencForMaskedLM, MemencForSequenceClassification, MemencModel
from tests.backbones import SEGMENT, VOCABULARY, tiny_backbone
from tests.tiny import TINY_MEMORY, TINY_MODEL, save_tiny_backbone

HALF = torch.bfloat16
TINY = {"memory_options": TINY_MEMORY, **TINY_MODEL}


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return save_tiny_backbone(tmp_path_factory.mktemp("backbone"))


def types_of(model):
    return {parameter.dtype for parameter in model.parameters()}


@pytest.mark.parametrize("kind", (MemencModel, MemencForSequenceClassification, MemencForMaskedLM))
@pytest.mark.parametrize("dtype", (HALF, "bfloat16"))
def test_all_weights_have_the_type_that_is_asked_for(kind, dtype, backbone, tmp_path):
    torch.manual_seed(0)
    model = kind.from_backbone(backbone, dtype=dtype, **TINY)
    torch.manual_seed(0)
    exact = kind.from_backbone(backbone, **TINY)
    assert types_of(model) == {HALF} and types_of(exact) == {torch.float32}
    rounded = {name: weight.to(HALF) for name, weight in exact.state_dict().items()}
    assert all(torch.equal(weight, rounded[name]) for name, weight in model.state_dict().items())
    vector = model.base_model(torch.randint(4, 40, (2, 50))).pooler_output
    assert vector.dtype == HALF and vector.isfinite().all()
    model.save_pretrained(tmp_path / "model")
    assert types_of(kind.from_pretrained(tmp_path / "model")) == {HALF}


def test_a_memenc_folder_and_a_model_take_a_type_too(backbone, tmp_path):
    MemencModel.from_backbone(backbone, **TINY).save_pretrained(tmp_path / "model")
    for kind in (MemencModel, MemencForSequenceClassification):
        assert types_of(kind.from_backbone(tmp_path / "model", dtype=HALF, **TINY)) == {HALF}
    model = MemencModel.from_backbone(tiny_backbone("modernbert"), segment_length=SEGMENT, dtype=HALF)
    frequencies = [buffer for name, buffer in model.named_buffers() if name.endswith("inv_freq")]
    assert types_of(model) == {HALF} and frequencies and {each.dtype for each in frequencies} == {torch.float32}
    assert model(torch.randint(5, VOCABULARY, (1, 40))).pooler_output.isfinite().all()


@pytest.mark.parametrize("dtype", ("half a byte", torch.int8, "auto", 16))
def test_what_is_no_type_of_weights_is_refused(dtype, backbone):
    with pytest.raises(ValueError, match=r"dtype=.* give a type of weights, such as torch.bfloat16"):
        MemencModel.from_backbone(backbone, dtype=dtype, **TINY)


def test_a_plain_encoder_is_no_memenc_model(backbone):
    for kind in (MemencModel, MemencForSequenceClassification):
        with pytest.raises(ValueError, match=r"this is a plain bert, not a memenc model: MemencModel.from_backbone"):
            kind.from_pretrained(backbone)


def test_nobody_chooses_the_attention(backbone, tmp_path):
    MemencModel.from_backbone(backbone, **TINY).save_pretrained(tmp_path / "model")
    calls = (
        lambda: AutoModel.from_pretrained(tmp_path / "model", attn_implementation="sdpa"),
        lambda: MemencModel.from_backbone(backbone, attn_implementation="sdpa", **TINY),
        lambda: MemencModel.from_backbone(backbone, backbone_options={"attn_implementation": "sdpa"}, **TINY),
    )
    for call in calls:
        with pytest.raises(ValueError, match="memenc brings its own attention; leave"):
            call()


@pytest.mark.parametrize(
    "call",
    (
        lambda name: MemencModel.from_backbone(name),
        lambda name: MemencForMaskedLM.from_backbone(name),
        lambda name: MemencModel.from_pretrained(name),
        lambda name: LongDocumentClassifier(name, verbose=False).fit(["a", "b"], [0, 1]),
    ),
)
def test_a_name_that_nobody_knows_is_said(call):
    with pytest.raises(ValueError, match=r"there is no folder tinny here .* the hub was not reached"):
        call("tinny")


@pytest.mark.parametrize("wrong", (42, None))
def test_what_is_no_backbone_is_refused(wrong):
    for kind in (MemencModel, MemencForMaskedLM):
        with pytest.raises(ValueError, match=rf"backbone={wrong}: give the name or folder of an encoder, or a model"):
            kind.from_backbone(wrong)


@pytest.mark.parametrize("kind", (MemencModel, MemencForSequenceClassification, MemencForMaskedLM))
def test_what_is_no_configuration_is_refused(kind):
    with pytest.raises(ValueError, match=rf"{kind.__name__}\(config\) needs a MemencConfig, received 'text'"):
        kind("text")


def test_options_that_there_are_not_name_those_there_are(backbone):
    with pytest.raises(ValueError, match=r"no option max_length; there are: memory_layers, .*segment_length.* dtype"):
        MemencModel.from_backbone(backbone, max_length=5)
    with pytest.raises(ValueError, match=r"backbone_options dtype: the backbone is a model, loaded already"):
        MemencModel.from_backbone(tiny_backbone(), backbone_options={"dtype": HALF})


def test_a_model_is_saved_with_its_tokenizer(backbone, tmp_path):
    embed = pytest.importorskip("sentence_transformers")
    tokenizer = AutoTokenizer.from_pretrained(backbone)
    model = MemencModel.from_backbone(backbone, **TINY)
    model.save_pretrained(tmp_path / "model", tokenizer=tokenizer)
    texts = ["word1 word2 " * 40, "word3"]
    assert AutoTokenizer.from_pretrained(tmp_path / "model")(texts)["input_ids"] == tokenizer(texts)["input_ids"]
    vectors = embed.SentenceTransformer(str(tmp_path / "model"), device="cpu").encode(texts, convert_to_tensor=True)
    assert torch.allclose(vectors, model.encode(texts, tokenizer), atol=1e-6)
    with pytest.raises(ValueError, match=r"push_to_hub=True uploads the model alone; use tokenizer.push_to_hub"):
        model.save_pretrained(tmp_path / "model", push_to_hub=True, tokenizer=tokenizer)
