"""What would change nothing or cannot be done is refused before any work, by the name of the option."""

import pytest
import yaml

from tests.cli.documents import FAST, SMALL, reviews
from tests.cli.task_records import paired
from tests.comparison.made_up import VALUES

# Where no model, no encoder and no documents are, nothing can have been read.
NOWHERE = "/there/is/nothing"


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("sequence-classification", ["--temperature", "3"], "--temperature 3.0 changes nothing in --task sequence-cl"),
        (
            "sequence-classification",
            ["--question-position", "last", "--max-answer-tokens", "5", "--problem-type", "regression"],
            "--question-position last --max-answer-tokens 5 changes nothing in --task sequence-classification "
            "--problem-type regression; leave it out",
        ),
        (
            "question-answering",
            ["--question-position", "last", "--max-answer-tokens", "5"],
            "--max-answer-tokens 5 changes nothing in --task question-answering --question-position last",
        ),
        ("question-answering", ["--problem-type", "regression"], "--problem-type regression changes nothing in --task"),
        ("multiple-choice", ["--max-answer-tokens", "5"], "--max-answer-tokens 5 changes nothing in --task multiple"),
        ("token-classification", ["--temperature", "3"], "--temperature 3.0 changes nothing in --task token-cla"),
        ("embedding", ["--question-position", "last"], "--question-position last changes nothing in --task embedding"),
    ],
)
def test_options_of_other_tasks_are_refused(memenc, tmp_path, task, options, message):
    command = ["train", "--train", NOWHERE, "--backbone", NOWHERE, "--output", tmp_path / "out", "--task", task]
    assert message in memenc(*command, *options, code=1).err


def test_a_temperature_for_pairs_with_similarities_is_refused(memenc, backbone, lines, tmp_path):
    command = ["train", "--train", lines(paired(6, similar=True)), "--backbone", backbone, "--task", "embedding"]
    command += ["--output", tmp_path / "out", *SMALL, *FAST, "--temperature", "0.2"]
    assert "--temperature 0.2 changes nothing where pairs have their similarity" in memenc(*command, code=1).err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--output", "out", "--engine", "ray", "--shard", "3"], "--shard 3: --engine ray encodes all shards"),
        (["--output", "out", "--workers", "5"], "--workers 5 is for --engine ray"),
        (["--output", "out.npz", "--data", "one.txt", "--split", "x"], "--split x: --data one.txt is one document"),
        (
            ["--output", "out.npz", "--data", "-", "--text-column", "y", "--on-bad-record", "skip"],
            "--text-column y --on-bad-record skip: --data - is one document and holds no records; leave it out",
        ),
    ],
)
def test_options_of_encode_that_change_nothing_are_refused(memenc, options, message):
    assert message in memenc("encode", "--data", NOWHERE, "--model", NOWHERE, *options, code=1).err


def test_a_delimiter_without_documents_is_refused(memenc, tmp_path):
    for command, where in (("probe", "--documents and --facts"), ("doctor", "--data")):
        said = memenc(command, "--model", NOWHERE, "--output", tmp_path / "out", "--delimiter", ";", code=1).err
        assert f"--delimiter ; is for {where}; give" in said


@pytest.mark.parametrize("option", ["--label-column", "--text-column"])
def test_columns_of_a_probe_without_documents_are_refused(memenc, tmp_path, option):
    said = memenc("probe", "--model", NOWHERE, "--output", tmp_path / "out", option, "y", code=1).err
    assert f"{option} y is for --documents; give them, or leave it out" in said


MODEL, DATA, BACKBONE = ["--model", NOWHERE], ["--data", NOWHERE], ["--backbone", NOWHERE]
TO_FILES = {
    "predict": [*MODEL, *DATA],
    "evaluate": [*MODEL, *DATA],
    "encode": [*MODEL, *DATA],
    "doctor": MODEL,
}
TO_FOLDERS = {
    "train": ["--train", NOWHERE, *BACKBONE],
    "pretrain": [*DATA, *BACKBONE],
    "encode": [*MODEL, *DATA],
    "probe": MODEL,
    "demo": [],
    "compare": [],
}


@pytest.mark.parametrize("command", TO_FILES)
def test_a_file_that_cannot_be_written_is_named_before_the_work(memenc, tmp_path, command):
    folder, file = tmp_path / "x.json", tmp_path / "file"
    folder.mkdir()
    file.write_text("mine")
    if command != "encode":
        said = memenc(command, *TO_FILES[command], "--output", folder, code=1).err
        assert f"--output {folder} is a folder; give a file" in said
    said = memenc(command, *TO_FILES[command], "--output", file / "new" / "x.jsonl", code=1).err
    assert f"{file} is a file, not a folder" in said and "--output" in said


@pytest.mark.parametrize("command", TO_FOLDERS)
def test_a_folder_that_cannot_be_written_is_named_before_the_work(memenc, tmp_path, command):
    file = tmp_path / "file"
    file.write_text("mine")
    if command != "encode":
        said = memenc(command, *TO_FOLDERS[command], "--output", file, code=1).err
        assert f"--output {file} is a file; give a folder" in said
    said = memenc(command, *TO_FOLDERS[command], "--output", file / "new", code=1).err
    assert f"--output {file / 'new'}: {file} is a file, not a folder" in said
    assert file.read_text() == "mine"


@pytest.mark.parametrize("name", [NOWHERE, "./nothing", "~/nothing"])
@pytest.mark.parametrize("command", ["train", "pretrain", "encode", "doctor", "compare"])
def test_a_folder_that_is_not_there_is_said_to_be(memenc, lines, tmp_path, command, name):
    config = tmp_path / "comparison.yaml"
    config.write_text(yaml.safe_dump(VALUES | {"encoder": {"backbone": name}}))
    arguments = {
        "train": ["--train", lines(reviews(4)), "--backbone", name, "--output", tmp_path / "out"],
        "pretrain": ["--data", lines(reviews(4)), "--backbone", name, "--output", tmp_path / "out"],
        "encode": ["--data", lines(reviews(4)), "--model", name, "--output", tmp_path / "out.npz"],
        "doctor": ["--model", name],
        "compare": ["--config", config, "--output", tmp_path / "out"],
    }
    said = memenc(command, *arguments[command], code=1).err
    # As a Path, ./nothing is nothing.
    assert f"there is no folder {name}" in said or f"there is no folder {name.removeprefix('./')}" in said


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_a_model_that_is_not_there_or_not_finished_is_said_to_be(memenc, backbone, lines, tmp_path, command):
    data = lines(reviews(4))
    said = memenc(command, "--model", "nomodel", "--data", data, code=1).err
    assert "there is no folder nomodel; give one written by memenc train" in said
    (tmp_path / "out" / "checkpoints" / "checkpoint-2").mkdir(parents=True)
    said = memenc(command, "--model", tmp_path / "out", "--data", data, code=1).err
    assert "holds checkpoints of a training that was stopped, or still runs, and no model yet" in said
    assert "memenc train with --resume" in said
    said = memenc(command, "--model", backbone, "--data", data, code=1).err
    assert f"{backbone} holds no memenc_estimator.json" in said


@pytest.mark.parametrize("command", ["train", "pretrain", "encode"])
def test_a_name_that_leads_nowhere_is_said(memenc, lines, tmp_path, command):
    named = {"train": ["--backbone", "tinny", "--train"], "pretrain": ["--backbone", "tinny", "--data"]}
    arguments = named.get(command, ["--model", "tinny", "--data"])
    said = memenc(command, *arguments, lines(reviews(4)), "--output", tmp_path / "out", code=1).err
    assert "there is no folder tinny here" in said and "the hub was not reached" in said


@pytest.mark.parametrize("content", ['{"parameters": {', "[]", "\udc80".encode(errors="surrogateescape")])
def test_a_damaged_description_of_the_earlier_run_is_named(memenc, backbone, lines, tmp_path, content):
    command = ["train", "--train", lines(reviews(12)), "--backbone", backbone, "--output", tmp_path / "out"]
    memenc(*command, *SMALL, *FAST)
    file = tmp_path / "out" / "checkpoints" / "run.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    said = memenc(*command, *SMALL, *FAST, "--resume", code=1).err
    assert f"{file} is damaged (" in said and "--overwrite" in said
