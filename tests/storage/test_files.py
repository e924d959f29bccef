"""Folders that are saved whole, know whether they are what was saved, and survive a full disk."""

import json
import random
import resource
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from memenc import LongDocumentClassifier, MemencModel
from memenc.storage.files import (
    CHECKSUMS,
    COMPLETE,
    OF_OTHERS,
    check_if_sealed,
    check_sealed,
    checksums,
    seal,
    whole_folder,
    write_whole,
)
from memenc.storage.results import write_results
from tests.memory.checks import build, tokens
from tests.tiny import TINY_MEMORY, TINY_MODEL, save_tiny_backbone, tiny_documents


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def folder(tmp_path):
    """A sealed folder of two files, one in a folder of its own."""
    with whole_folder(tmp_path / "saved") as unfinished:
        (unfinished / "one").write_text("first")
        (unfinished / "more").mkdir()
        (unfinished / "more" / "two").write_text("second")
    return tmp_path / "saved"


def test_a_whole_folder_holds_its_files_and_their_checksums(folder):
    assert contents(folder).keys() == {"one", "more/two", CHECKSUMS}
    assert checksums(folder).keys() == {"one", "more/two"}
    check_sealed(folder)


def damaged(content):
    kind = random.choice(("flip", "truncate", "extend"))
    if kind == "flip" and content:
        place = random.randrange(len(content))
        return content[:place] + bytes([content[place] ^ 1 << random.randrange(8)]) + content[place + 1 :]
    return content[: random.randrange(len(content))] if kind == "truncate" else content + b" "


def test_every_change_is_noticed(folder):
    for name in ("one", "more/two"):
        whole = (folder / name).read_bytes()
        for _ in range(20):
            (folder / name).write_bytes(damaged(whole))
            with pytest.raises(ValueError, match=name):
                check_sealed(folder)
        (folder / name).unlink()
        with pytest.raises(ValueError, match=f"{name}.*missing"):
            check_sealed(folder)
        check_sealed(folder, partial=True)
        (folder / name).write_bytes(whole)
    check_sealed(folder)


@pytest.mark.parametrize(
    "text",
    ("", "[]", "{}", "null", '{"format": "memenc.checksums", "version": 2, "sha256": {"one": ""}}', "[" * 99_999),
)
def test_damaged_checksums_are_refused(folder, text):
    (folder / CHECKSUMS).write_text(text)
    with pytest.raises(ValueError, match=CHECKSUMS):
        check_sealed(folder)


def test_a_folder_of_others_passes(folder):
    (folder / CHECKSUMS).unlink()
    check_if_sealed(folder)
    with pytest.raises(ValueError, match="missing"):
        check_sealed(folder)


def test_names_that_point_elsewhere_are_compared_and_never_written(folder, tmp_path):
    (tmp_path / "outside").write_text("x")
    seal(folder, {"../outside": "0" * 64})
    with pytest.raises(ValueError, match="outside"):
        check_sealed(folder)


def test_an_error_while_saving_leaves_everything_as_it_was(folder):
    before = contents(folder)
    with pytest.raises(OSError, match="No space"), whole_folder(folder) as unfinished:
        (unfinished / "one").write_text("half")
        raise OSError(28, "No space left on device")
    assert contents(folder) == before


def test_what_a_kill_left_is_cleared_by_the_next_save(folder):
    (folder / ".memenc-saving-1234").mkdir()
    (folder / ".memenc-saving-1234" / "weights").write_text("half")
    with whole_folder(folder) as unfinished:
        (unfinished / "one").write_text("third")
    assert contents(folder).keys() == {"one", "more/two", CHECKSUMS}
    check_sealed(folder)
    assert (folder / "one").read_text() == "third"


@pytest.mark.parametrize("moves", range(6))
def test_a_save_that_was_stopped_between_moves_is_finished_by_whoever_loads(tmp_path, monkeypatch, moves):
    first, second, ids = build(), build(), tokens(2, 40)
    first.save_pretrained(tmp_path, max_shard_size="20KB")
    replace, left = Path.replace, [moves + 1]

    def stopped(path, target):
        left[0] -= path.parent.name == COMPLETE
        if not left[0]:
            raise KeyboardInterrupt
        return replace(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", stopped)
        with pytest.raises(KeyboardInterrupt):
            second.save_pretrained(tmp_path)
    names = [path.name for path in tmp_path.glob("*.safetensors")]
    assert (tmp_path / COMPLETE / CHECKSUMS).is_file() and len(names) < 2
    assert torch.equal(MemencModel.from_pretrained(tmp_path)(ids).pooler_output, second(ids).pooler_output)
    assert not (tmp_path / COMPLETE).exists()
    check_sealed(tmp_path)


@pytest.mark.parametrize("link", (COMPLETE, "more"))
def test_a_link_out_of_the_folder_moves_and_replaces_nothing(folder, tmp_path, link):
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "two").write_text("theirs")
    if link == "more":
        shutil.copytree(folder, folder / COMPLETE)
        shutil.rmtree(folder / "more")
    (folder / link).symlink_to(tmp_path / "others", target_is_directory=True)
    with pytest.raises(ValueError, match="leads out"):
        check_if_sealed(folder)
    assert contents(tmp_path / "others") == {"two": b"theirs"}


def test_weights_of_an_earlier_save_are_not_read_instead_of_the_new(tmp_path):
    first, second, ids = build(), build(), tokens(2, 40)
    first.save_pretrained(tmp_path)
    second.save_pretrained(tmp_path, max_shard_size="20KB")
    assert not (tmp_path / "model.safetensors").exists()
    assert torch.equal(MemencModel.from_pretrained(tmp_path)(ids).pooler_output, second(ids).pooler_output)
    first.save_pretrained(tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    assert torch.equal(MemencModel.from_pretrained(tmp_path)(ids).pooler_output, first(ids).pooler_output)


@contextmanager
def no_room_for(size):
    """The disk takes no file above so many bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_keeps_the_model_that_was_there(tmp_path):
    build().save_pretrained(tmp_path)
    before = contents(tmp_path)
    for room in (100, 10_000):
        with no_room_for(room), pytest.raises(Exception, match=r"(?i)too large|i/o|space|io"):
            build().save_pretrained(tmp_path)
        assert contents(tmp_path) == before
    check_sealed(tmp_path)


def test_a_full_disk_keeps_the_results_that_were_there(tmp_path):
    write_results(tmp_path / "results", [{"score": 1}], seed=0)
    before = contents(tmp_path)
    with no_room_for(100), pytest.raises(OSError, match="too large"):
        write_results(tmp_path / "results", [{"score": 2}], seed=0)
    with no_room_for(2), pytest.raises(OSError, match="too large"):
        write_whole(tmp_path / "results.csv", "score")
    assert contents(tmp_path) == before


@pytest.fixture(scope="module")
def classifier_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier")
    texts, labels = tiny_documents(8, (5, 30), seed=0)
    training = {"epochs": 1, "validation_share": 0.0}
    backbone = save_tiny_backbone(folder / "backbone")
    classifier = LongDocumentClassifier(backbone, "compressive", TINY_MEMORY, TINY_MODEL, training, verbose=False)
    classifier.fit(texts, labels).save_pretrained(folder / "saved")
    return folder / "saved"


def test_every_file_of_a_classifier_is_watched(classifier_folder, tmp_path):
    names = checksums(classifier_folder).keys()
    assert names == {path.name for path in classifier_folder.iterdir()} - {CHECKSUMS, *OF_OTHERS}
    assert {"model.safetensors", "config.json", "tokenizer.json", "memenc_estimator.json"} <= names
    LongDocumentClassifier.from_pretrained(classifier_folder)
    for name in names:
        folder = shutil.copytree(classifier_folder, tmp_path / name)
        (folder / name).write_bytes(damaged((folder / name).read_bytes()))
        with pytest.raises(ValueError, match=rf"{name} has not the SHA-256"):
            LongDocumentClassifier.from_pretrained(folder)


def test_a_model_saved_into_a_classifier_leaves_it_sealed(classifier_folder, tmp_path):
    folder = shutil.copytree(classifier_folder, tmp_path / "saved")
    model = LongDocumentClassifier.from_pretrained(folder).model_
    with torch.no_grad():
        model.classifier.bias.add_(1.0)
    model.save_pretrained(folder)
    assert checksums(folder).keys() == checksums(classifier_folder).keys()
    again = LongDocumentClassifier.from_pretrained(folder).model_
    assert torch.equal(again.classifier.bias, model.classifier.bias)


def test_weights_in_a_pickle_are_never_read(tmp_path):
    model = build()
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="never reads pickles"):
        MemencModel.from_pretrained(tmp_path, use_safetensors=False)
    torch.save(load_file(tmp_path / "model.safetensors"), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / CHECKSUMS).unlink()
    with pytest.raises(OSError, match=r"no file named model\.safetensors"):
        MemencModel.from_pretrained(tmp_path)


def hub_cache(source, cache):
    """A cache as the hub's client leaves it, of a repository called someone/model."""
    commit = "0" * 40
    repository = cache / "models--someone--model"
    snapshot = shutil.copytree(source, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    return snapshot


def test_what_a_hub_handed_out_is_checked_too(tmp_path):
    build().save_pretrained(tmp_path / "model")
    snapshot = hub_cache(tmp_path / "model", tmp_path / "cache")
    MemencModel.from_pretrained("someone/model", cache_dir=tmp_path / "cache")
    weights = bytearray((snapshot / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (snapshot / "model.safetensors").write_bytes(weights)
    with pytest.raises(ValueError, match=r"model\.safetensors has not"):
        MemencModel.from_pretrained("someone/model", cache_dir=tmp_path / "cache")
    (snapshot / CHECKSUMS).unlink()
    MemencModel.from_pretrained("someone/model", cache_dir=tmp_path / "cache")


def test_the_checksums_are_plain(folder):
    content = json.loads((folder / CHECKSUMS).read_text())
    # sha256sum "first"
    assert content["sha256"]["one"] == "a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e"
