"""Short documents first, once, then any order; few segments first, then whole documents."""

import pytest
import torch
from transformers import TrainerControl, TrainerState

from memenc import LongDocumentClassifier, MemencModel
from memenc.training.curriculum import SegmentCurriculum, ShortestFirst
from memenc.training.settings import TrainingSettings
from tests.tiny import TINY_MEMORY, TINY_MODEL, TINY_TRAINING, save_tiny_backbone, tiny_documents


def test_first_epoch_goes_from_short_to_long_and_later_ones_do_not():
    lengths = torch.randint(1, 10_000, (400,)).tolist()
    sampler = ShortestFirst(lengths, seed=torch.initial_seed() % 2**31)
    first = list(sampler)
    assert sorted(first) == list(range(400)) and first == list(sampler)
    assert longer_before(first, lengths) < 4.001
    sampler.set_epoch(1)
    second = list(sampler)
    assert sorted(second) == list(range(400)) and second != first
    assert longer_before(second, lengths) > 8


def longer_before(order, lengths):
    """How many times as long as a document one before it is, at most."""
    ratio = longest = 0
    for index in order:
        longest = max(longest, lengths[index] + 1)
        ratio = max(ratio, longest / (lengths[index] + 1))
    return ratio


def trained(curriculum, steps):
    """Segments of every step of a training that long."""
    arguments, state, control, drawn = None, TrainerState(max_steps=steps), TrainerControl(), []
    for step in range(steps):
        state.global_step = step
        curriculum.on_step_begin(arguments, state, control)
        drawn.append(curriculum.segments)
    return drawn


def test_segments_grow_by_steps_at_random_with_single_ones_in_between():
    drawn = trained(SegmentCurriculum([1, 2, 4, 8], until=0.8, seed=torch.initial_seed() % 1000), 10_000)
    for stage, most in enumerate((1, 2, 4, 8)):
        part = drawn[stage * 2_000 : (stage + 1) * 2_000]
        assert set(part) == set(range(1, most + 1)), f"stage {stage} draws {set(part)}"
    whole = drawn[8_000:]
    assert set(whole) == {1, None} and 0.05 < whole.count(1) / len(whole) < 0.16


def test_the_same_step_draws_the_same_after_a_restart():
    first, again = SegmentCurriculum([2, 50], seed=5), SegmentCurriculum([2, 50], seed=5)
    assert trained(first, 300) == trained(again, 300)
    kept = first.state()
    restarted = SegmentCurriculum.from_state(kept)
    assert (restarted.stage, restarted.segments, restarted.stages) == (first.stage, first.segments, [2, 50])


def test_it_can_grow_when_a_stage_is_learned():
    curriculum, nothing = SegmentCurriculum([1, 4], grow_at=0.9), (None, TrainerState(), TrainerControl())
    stages = []
    for accuracy in (0.5, 0.95, 0.89, 0.9, 1.0):
        curriculum.on_evaluate(*nothing, metrics={"eval_accuracy": accuracy})
        stages.append(curriculum.maximum)
    assert stages == [1, 4, 4, None, None]
    with pytest.raises(ValueError, match="no metric 'eval_accuracy'"):
        curriculum.on_evaluate(*nothing, metrics={"eval_loss": 1.0})


def test_documents_are_cropped_to_stretches_of_themselves():
    curriculum = SegmentCurriculum([3], share_of_one=0.0, seed=torch.initial_seed() % 1000)
    documents = [torch.arange(length) for length in (0, 5, 29, 30, 31, 400)]
    starts = set()
    for step in range(200):
        curriculum.step = step
        length = curriculum.segments * 10
        for document, cropped in zip(documents, curriculum.crop(documents, 10), strict=True):
            assert len(cropped) == min(length, len(document))
            assert len(cropped) < 2 or bool((cropped.diff() == 1).all())
        starts.add(int(cropped[0]))
    assert len(starts) > 50
    curriculum.stage = 1
    assert all(map(torch.equal, curriculum.crop(documents, 10), documents))


@pytest.mark.parametrize(
    ("arguments", "message"),
    (
        ({"stages": []}, "rising"),
        ({"stages": [2, 2]}, "rising"),
        ({"stages": [0, 2]}, "rising"),
        ({"stages": [1], "until": 0.0}, "shares"),
        ({"stages": [1], "share_of_one": 1.0}, "shares"),
    ),
)
def test_refuses_what_is_no_curriculum(arguments, message):
    with pytest.raises(ValueError, match=message):
        SegmentCurriculum(**arguments)


@pytest.mark.parametrize("text", ("2,1", "1,x", "0,1", "1,,2", "1.5"))
def test_refuses_settings_that_are_no_stages(text):
    with pytest.raises(ValueError, match="segment_curriculum"):
        TrainingSettings(segment_curriculum=text)


def test_the_trainer_reads_what_the_curriculum_says(tmp_path):
    texts, labels = tiny_documents(24, (60, 90), seed=1)
    backbone = save_tiny_backbone(tmp_path)
    training = TINY_TRAINING | {"epochs": 4, "segment_curriculum": "1,2", "validation_share": 0.0}
    classifier = LongDocumentClassifier(
        backbone, memory_options=TINY_MEMORY, model_options=TINY_MODEL, training=training, random_state=3
    )
    read, forward = [], MemencModel.forward

    def recorded(self, input_ids, attention_mask=None, **arguments):
        if self.training:
            read.append(int(attention_mask.sum(1).max()))
        return forward(self, input_ids, attention_mask, **arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemencModel, "forward", recorded)
        classifier.fit(texts, labels)
    capacity = TINY_MODEL["segment_length"] - 2
    assert max(read[:3]) <= capacity and max(read[3:7]) <= 2 * capacity and max(read[8:]) >= 60
