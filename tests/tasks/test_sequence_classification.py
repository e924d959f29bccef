"""The classification head: losses, labels and what it refuses."""

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from torch.nn import functional

from memenc import MemencForSequenceClassification
from memenc.state import MemoryState
from tests.backbones import SEGMENT, tiny_backbone
from tests.memory.checks import CAPACITY, assert_close, build, documents_of, ragged, tokens

LABELS = 3


def classifier(design="windowed_no_divisor", labels=LABELS, **options):
    return build(design, model_class=MemencForSequenceClassification, num_labels=labels, **options)


def batch():
    return ragged(documents_of(3 * CAPACITY + 1, 5, CAPACITY, 0))


def test_logits_are_linear_in_the_context_representation():
    model, (ids, mask) = classifier(), batch()
    vector = model.memenc(ids, mask).pooler_output
    wanted = functional.linear(vector, model.classifier.weight, model.classifier.bias)
    output = model(ids, mask)
    assert output.loss is None and output.logits.shape == (4, LABELS)
    assert_close(output.logits, wanted, 1e-6, "logits")
    assert isinstance(output.memory, MemoryState) and output.memory.tokens_seen.tolist() == mask.sum(1).tolist()


def numbers(*shape):
    return torch.randn(shape)


# problem type, labels of the head, labels of a batch of four, loss
PROBLEMS = {
    "single": ("single_label_classification", LABELS, lambda: torch.randint(LABELS, (4,)), functional.cross_entropy),
    "multi": (
        "multi_label_classification",
        LABELS,
        lambda: torch.randint(2, (4, LABELS)).float(),
        functional.binary_cross_entropy_with_logits,
    ),
    "one number": ("regression", 1, lambda: numbers(4), lambda x, y: functional.mse_loss(x[:, 0], y)),
    "one number in a column": ("regression", 1, lambda: numbers(4, 1), functional.mse_loss),
    "numbers": ("regression", LABELS, lambda: numbers(4, LABELS), functional.mse_loss),
}


# Several numbers cannot be told from several labels, so nobody can guess that they are meant.
CASES = [
    (problem, guessed) for problem in PROBLEMS for guessed in (False, True) if (problem, guessed) != ("numbers", True)
]


def check_loss(problem, guessed):
    """The loss of given labels, and that encoder and head learn from it."""
    kind, count, make_labels, loss = PROBLEMS[problem]
    model, (ids, mask), labels = classifier(labels=count), batch(), make_labels()
    if not guessed:
        model.config.problem_type = kind
    output = model(ids, mask, labels=labels)
    assert output.loss is not None
    assert_close(output.loss, loss(output.logits, labels), 1e-6, "loss")
    output.loss.backward()
    assert model.classifier.weight.grad.abs().max() > 0
    assert model.memenc.encoder.memories[-1].window_bias.grad.abs().max() > 0


@pytest.mark.parametrize("problem, guessed", CASES)
def test_losses_are_those_of_torch(problem, guessed):
    check_loss(problem, guessed)


# A published wrapper let the default of its argument overwrite the labels it was given.
OTHER_LABELS = {"none": lambda labels: None, "others": lambda labels: (labels + 1) % LABELS}


@pytest.mark.parametrize("other", OTHER_LABELS)
def test_labels_that_are_overwritten_are_noticed(other, monkeypatch):
    forward = MemencForSequenceClassification.forward

    def wrong(model, ids, mask, labels):
        return forward(model, ids, mask, OTHER_LABELS[other](labels))

    monkeypatch.setattr(MemencForSequenceClassification, "forward", wrong)
    with pytest.raises(AssertionError):
        check_loss("single", True)


def test_whole_numbers_mark_several_labels():
    model, (ids, mask), labels = classifier(), batch(), torch.randint(2, (4, LABELS))
    output = model(ids, mask, labels=labels)
    wanted = functional.binary_cross_entropy_with_logits(output.logits, labels.float())
    assert_close(output.loss, wanted, 1e-6, "loss")


@pytest.mark.parametrize("dtype", (torch.int32, torch.int64, torch.uint8), ids=str)
def test_class_numbers_of_any_whole_type(dtype):
    model, (ids, mask), labels = classifier(), batch(), torch.tensor([0, 1, 2, 1])
    model.config.problem_type = "single_label_classification"
    wanted = model(ids, mask, labels=labels).loss
    assert torch.equal(model(ids, mask, labels=labels.to(dtype)).loss, wanted)


def test_class_numbers_of_32_bits_are_recognised():
    model, (ids, mask) = classifier(), batch()
    output = model(ids, mask, labels=torch.tensor([0, 1, 2, 1], dtype=torch.int32))
    assert_close(output.loss, functional.cross_entropy(output.logits, torch.tensor([0, 1, 2, 1])), 1e-6, "loss")


@pytest.mark.parametrize("labels", ([0, 1, LABELS, 0], [0, -1, 0, 0], [0, -100, 0, 0]))
def test_labels_out_of_range_are_refused(labels):
    with pytest.raises(ValueError, match=f"{min(labels)} to {max(labels)}, the head has {LABELS}"):
        classifier()(*batch(), labels=torch.tensor(labels))


@pytest.mark.parametrize(
    "kind, labels",
    [
        ("single_label_classification", torch.rand(4)),
        ("single_label_classification", torch.zeros(3, dtype=torch.long)),
        ("multi_label_classification", torch.zeros(4, LABELS + 1)),
        ("multi_label_classification", torch.zeros(4)),
        ("regression", torch.zeros(4, LABELS + 1)),
        ("regression", torch.zeros(5)),
        ("regression", torch.zeros(LABELS, 4)),
    ],
)
def test_labels_that_do_not_fit_are_refused(kind, labels):
    model = classifier()
    model.config.problem_type = kind
    with pytest.raises(ValueError):
        model(*batch(), labels=labels)


def test_what_is_not_known_is_refused_by_name():
    model, (ids, mask) = classifier(), batch()
    for name in ("position_ids", "inputs_embeds", "span"):
        with pytest.raises(ValueError, match=name):
            model(ids, mask, **{name: torch.zeros(1)})
    # transformers 5.14 refuses it before we do.
    with pytest.raises((ValueError, StrictDataclassError), match="problem_type"):
        classifier(problem_type="ranking")
    with pytest.raises(ValueError, match="token_type_ids"):
        model(ids, mask, token_type_ids=torch.ones_like(ids))


def test_a_tuple_if_asked():
    model, (ids, mask) = classifier(), batch()
    labels = torch.zeros(4, dtype=torch.long)
    output = model(ids, mask, labels=labels)
    loss, logits, memory = model(ids, mask, labels=labels, return_dict=False)
    assert torch.equal(loss, output.loss) and torch.equal(logits, output.logits) and len(memory) == 4


@torch.no_grad()
def test_a_document_is_classified_in_pieces():
    model, ids = classifier(), tokens(2, 5 * CAPACITY + 3)
    memory = None
    for piece in ids.split(17, 1):
        output = model(piece, memory=memory)
        memory = output.memory
    assert_close(output.logits, model(ids).logits, 1e-5, "logits")


def test_the_loss_includes_that_of_the_design_in_training_only():
    model, ids = classifier("compressive_reconstruction"), tokens(2, 6 * CAPACITY)
    model.dropout.p = 0.0
    labels = torch.tensor([0, 1])
    task_loss = model(ids, labels=labels).loss
    model.train()
    loss = model(ids, labels=labels).loss
    own = model.memenc(ids).auxiliary_loss
    assert own > 0
    assert_close(loss, task_loss + own, 1e-5, "loss")


def test_dropout_before_the_head_is_that_of_the_configuration():
    for share in (0.0, 0.5):
        model, ids = classifier(classifier_dropout=share).train(), tokens(4, 20)
        assert model.dropout.p == share
        assert torch.equal(model(ids).logits, model(ids).logits) == (share == 0.0)


def test_labels_have_names():
    model = MemencForSequenceClassification.from_backbone(
        tiny_backbone(),
        memory="none",
        segment_length=SEGMENT,
        id2label={0: "no", 1: "yes", 2: "perhaps", 3: "never"},
        label2id={"no": 0, "yes": 1, "perhaps": 2, "never": 3},
    )
    assert model.config.num_labels == 4 and model(tokens(1, 5)).logits.shape == (1, 4)


def losses_of_training(design, steps=40):
    """Only tokens of the first segment tell the label, and the readout sees the third segment alone."""
    # Whether 40 steps are enough is a matter of where they begin.
    torch.manual_seed(3)
    model = classifier(design, labels=2, lively=False, readout="last", classifier_dropout=0.0).train()
    for name, parameter in model.named_parameters():
        if name.endswith("window_bias"):
            parameter.data.zero_()
    optimizer, losses = torch.optim.AdamW(model.parameters(), lr=3e-3), []
    for _ in range(steps):
        ids, labels = tokens(16, 3 * CAPACITY), torch.randint(2, (16,))
        ids[:, :CAPACITY] = torch.where(labels[:, None] == 1, 7, 9)
        loss = model(ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def test_a_few_steps_learn_what_stands_in_the_first_segment():
    with_memory, without = losses_of_training("windowed_above_segment"), losses_of_training("none")
    assert sum(with_memory[-5:]) / 5 < 0.3, f"losses {with_memory[::8]}"
    assert sum(without[-5:]) / 5 > 0.5, f"losses {without[::8]}"
