"""Short documents first, once, then any order; few segments first, then whole documents."""

import pytest
import torch
from transformers import TrainerControl, TrainerState

from memenc import LongDocumentClassifier, MemencModel
from memenc.training.curriculum import SegmentCurriculum, ShortestFirst
from memenc.training.settings import TrainingSettings
from tests.tiny import TINY_MEMORY, TINY_MODEL, TINY_TRAINING, save_tiny_backbone, tiny_documents

CAPACITY = TINY_MODEL["segment_length"] - 2


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


def test_documents_may_stay_cut_to_the_end():
    drawn = trained(SegmentCurriculum([1, 2], until=0.5, most=5, seed=torch.initial_seed() % 1000), 4_000)
    assert set(drawn[1_000:2_000]) == {1, 2} and set(drawn[2_000:]) == {1, 5}
    assert set(trained(SegmentCurriculum([], share_of_one=0.0, most=3), 100)) == {3}


def test_the_same_step_draws_the_same_after_a_restart():
    first, again = SegmentCurriculum([2, 50], seed=5), SegmentCurriculum([2, 50], seed=5)
    assert trained(first, 300) == trained(again, 300)
    kept = first.state()
    restarted = SegmentCurriculum.from_state(kept)
    assert (restarted.stage, restarted.segments, restarted.stages) == (first.stage, first.segments, [2, 50])
    assert SegmentCurriculum.from_state(SegmentCurriculum([1, 4], most=6).state()).most == 6


def test_stretches_lie_within_their_documents():
    curriculum = SegmentCurriculum([3], share_of_one=0.0, seed=torch.initial_seed() % 1000)
    lengths, starts = (0, 5, 29, 30, 31, 400), set()
    for step in range(200):
        curriculum.step = step
        for length, (start, end) in zip(lengths, curriculum.stretches(lengths, 10), strict=True):
            assert 0 <= start <= end <= length and end - start == min(curriculum.segments * 10, length)
        starts.add(start)
    assert len(starts) > 50
    curriculum.stage = 1
    assert curriculum.stretches(lengths, 10) == [(0, length) for length in lengths]


@pytest.mark.parametrize(
    ("arguments", "message"),
    (
        ({"stages": []}, "rising"),
        ({"stages": [2, 2]}, "rising"),
        ({"stages": [0, 2]}, "rising"),
        ({"stages": [1], "until": 0.0}, "shares"),
        ({"stages": [1], "share_of_one": 1.0}, "shares"),
        ({"stages": [], "most": 0}, "rising"),
        ({"stages": [1, 4], "most": 3}, "most=3"),
    ),
)
def test_refuses_what_is_no_curriculum(arguments, message):
    with pytest.raises(ValueError, match=message):
        SegmentCurriculum(**arguments)


@pytest.mark.parametrize("text", ("2,1", "1,x", "0,1", "1,,2", "1.5"))
def test_refuses_settings_that_are_no_stages(text):
    with pytest.raises(ValueError, match="segment_curriculum"):
        TrainingSettings(segment_curriculum=text)


@pytest.mark.parametrize("settings", ({"most_segments": 0}, {"most_segments": 3, "segment_curriculum": "1,4"}))
def test_refuses_settings_that_cut_to_less_than_is_read(settings):
    with pytest.raises(ValueError, match=r"most_segments=.: give at least \d, where segment_curriculum="):
        TrainingSettings(**settings)


def read_while_fitting(folder, words, **settings):
    """Own tokens of the longest document of every call, in training and in validation."""
    texts, labels = tiny_documents(24, words, seed=1)
    classifier = LongDocumentClassifier(
        save_tiny_backbone(folder),
        memory_options=TINY_MEMORY,
        model_options=TINY_MODEL,
        training=TINY_TRAINING | settings,
        random_state=3,
    )
    trained_on, validated_on, forward = [], [], MemencModel.forward

    def recorded(self, input_ids, attention_mask=None, **arguments):
        (trained_on if self.training else validated_on).append(int(attention_mask.sum(1).max()))
        return forward(self, input_ids, attention_mask, **arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemencModel, "forward", recorded)
        classifier.fit(texts, labels)
    return trained_on, validated_on


def test_the_trainer_reads_what_the_curriculum_says(tmp_path):
    settings = {"epochs": 4, "segment_curriculum": "1,2", "validation_share": 0.0}
    read, _ = read_while_fitting(tmp_path, (60, 90), **settings)
    assert max(read[:3]) <= CAPACITY and max(read[3:7]) <= 2 * CAPACITY and max(read[8:]) >= 60


@pytest.mark.parametrize("curriculum", ("", "1,2"))
def test_checkpoints_are_chosen_on_documents_longer_than_trained(tmp_path, curriculum):
    settings = {"epochs": 3, "segment_curriculum": curriculum, "most_segments": 3, "validation_share": 0.25}
    trained_on, validated_on = read_while_fitting(tmp_path, (60, 90), **settings)
    assert max(trained_on) == 3 * CAPACITY and min(validated_on) >= 60
