"""R7 and R8 in small: killed trainings end as if nothing had happened, damaged checkpoints are passed over aloud.

`python -m benchmarks.reliability` runs the same with larger counts.
"""

import shutil

import pytest
import torch

from benchmarks.reliability.damage import checkpoints_in, damage_file, files_of, passed_over_aloud
from benchmarks.reliability.kills import finish, killed_and_resumed
from benchmarks.reliability.training import KINDS, Job
from memenc.storage.files import CHECKSUMS, check_sealed, seal

STEPS = 13
OURS, ACCUMULATED, STREAM = KINDS


def a_seed():
    return torch.initial_seed() % 2**31


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_training_ends_as_if_nothing_had_happened(kind, tmp_path):
    hits, same = killed_and_resumed(kind, tmp_path, a_seed(), kills=2, steps=STEPS)
    assert same and hits > 0, f"{hits} kills, weights {'same' if same else 'differ'}"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A training that ended, with its last two checkpoints, and its weights."""
    job = Job(ACCUMULATED, tmp_path_factory.mktemp("finished"), 3)
    weights = finish(job)
    for folder in checkpoints_in(job.checkpoints):
        check_sealed(folder)
    return job, weights


@pytest.fixture
def again(finished, tmp_path):
    """The same, to be damaged and finished once more."""
    job = Job(finished[0].kind, tmp_path / "job", finished[0].seed)
    shutil.copytree(finished[0].folder, job.folder)
    (job.folder / "weights.sha256").unlink()
    return job


def test_a_damaged_checkpoint_is_passed_over_aloud(finished, tmp_path):
    for number in range(30):
        copy = shutil.copytree(finished[0].checkpoints, tmp_path / str(number))
        file = files_of(checkpoints_in(copy)[-1])[number % len(files_of(checkpoints_in(copy)[-1]))]
        done = damage_file(file)
        assert passed_over_aloud(copy), done


def test_the_one_before_gives_the_same_weights(finished, again):
    weights = checkpoints_in(again.checkpoints)[-1] / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    assert finish(again) == finished[1]
    assert "is not whole" in again.said and "going on from the one before" in again.said


def test_without_any_whole_one_training_starts_from_the_beginning_and_says_so(finished, again):
    for folder in checkpoints_in(again.checkpoints):
        (folder / "optimizer.pt").unlink()
    assert finish(again) == finished[1]
    assert "starting from the beginning" in again.said


def test_a_training_that_resumes_with_other_random_numbers_is_noticed(finished, again):
    before, last = checkpoints_in(again.checkpoints)
    shutil.rmtree(last)
    for file in ("rng_state.pth", CHECKSUMS):
        (before / file).unlink()
    seal(before)
    assert finish(again) != finished[1]
