import json
import random

import numpy
import pyarrow.parquet
import pytest

from memenc.corpus_encoding import DocumentEncoder, Shard, ShardWork, folder_status
from memenc.corpus_encoding.identity import DataFiles
from memenc.data import read_records
from memenc.data.records import NamedApart
from tests.cli.documents import reviews, write_lines
from tests.corpus_encoding.killed import run_killed


@pytest.fixture
def work(tmp_path, data, encoder):
    """Encode a shard into the folder "out"."""

    def run(index, count, source=data, encoder=encoder, folder=tmp_path / "out", **options):
        reader = read_records(source, label_column=None, on_bad_record="skip")
        return ShardWork(encoder, reader, folder, Shard(index, count), **{"documents_per_part": 4, **options}).run()

    return run


def parquet_of(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.parquet")}


def vectors_of(folder):
    table = pyarrow.concat_tables(pyarrow.parquet.read_table(path) for path in sorted(folder.glob("*.parquet")))
    return dict(zip(table["id"].to_pylist(), table["vector"].to_pylist(), strict=True))


def test_shards_together_are_the_corpus(work, rows, encoder, tmp_path):
    manifests = [work(index, 3) for index in range(3)]
    found = vectors_of(tmp_path / "out")
    assert sorted(found) == sorted(row["id"] for row in rows)
    expected = encoder.encode([row["text"] for row in rows])
    numpy.testing.assert_allclose([found[row["id"]] for row in rows], expected, atol=1e-5)
    assert sum(manifest["documents"] for manifest in manifests) == len(rows)
    assert sum(manifest["characters"] for manifest in manifests) == sum(len(row["text"]) for row in rows)
    assert folder_status(tmp_path / "out", 3).complete
    assert not list((tmp_path / "out").glob("*.tmp"))


def test_a_document_has_its_shard_wherever_it_stands(work, rows, tmp_path):
    work(0, 2, folder=tmp_path / "first")
    random.shuffle(rows)
    work(0, 2, write_lines(tmp_path / "shuffled.jsonl", rows[3:]), folder=tmp_path / "second")
    left_out = {row["id"] for row in rows[:3]}
    assert set(vectors_of(tmp_path / "second")) == set(vectors_of(tmp_path / "first")) - left_out


def test_columns_hold_more_than_two_gigabytes(work, tmp_path):
    work(0, 1)
    schema = pyarrow.parquet.read_schema(next((tmp_path / "out").glob("*.parquet")))
    assert schema.field("id").type == pyarrow.large_string()


def test_documents_without_tokens_are_marked(work, rows, tmp_path):
    texts = [row["text"] for row in rows[:3]] + ["", " \n"]
    work(0, 1, write_lines(tmp_path / "some.jsonl", [{"text": text} for text in texts]))
    table = pyarrow.parquet.read_table(sorted((tmp_path / "out").glob("*.parquet")))
    assert dict(zip(table["id"].to_pylist(), table["empty"].to_pylist(), strict=True)) == {
        "1": False, "2": False, "3": False, "4": True, "5": True,
    }  # fmt: skip


def test_a_shard_begun_before_documents_were_marked_goes_on(work, encoder, model, rows, tmp_path):
    with pytest.raises(RuntimeError):
        work(0, 1, encoder=failing_after(2, model))
    for path in (tmp_path / "out").glob("*.parquet"):
        pyarrow.parquet.write_table(pyarrow.parquet.read_table(path).drop_columns("empty"), path)
    work(0, 1)
    table = pyarrow.parquet.read_table(sorted((tmp_path / "out").glob("*.parquet")))
    found = dict(zip(table["id"].to_pylist(), table["vector"].to_pylist(), strict=True))
    expected = encoder.encode([row["text"] for row in rows])
    numpy.testing.assert_allclose([found[row["id"]] for row in rows], expected, atol=1e-5)


def failing_after(calls, model):
    """An encoder that fails at a later call."""

    class Failing(DocumentEncoder):
        made = 0

        def encode_counted(self, texts):
            Failing.made += 1
            if Failing.made > calls:
                raise RuntimeError("out of memory")
            return super().encode_counted(texts)

    return Failing(model, "cpu")


def test_a_failed_shard_is_named_and_goes_on(work, model, tmp_path):
    work(0, 1, folder=tmp_path / "whole")
    with pytest.raises(RuntimeError):
        work(0, 1, encoder=failing_after(2, model))
    assert "shard 0 failed: RuntimeError: out of memory" in str(folder_status(tmp_path / "out", 1))
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.parquet")}
    assert len(kept) == 2
    work(0, 1)
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    assert parquet_of(tmp_path / "out") == parquet_of(tmp_path / "whole")
    assert str(folder_status(tmp_path / "out", 1)) == "1 of 1 shards finished"


def test_a_finished_shard_is_left_alone(work, model, data, tmp_path):
    manifest = work(1, 2)
    assert work(1, 2, encoder=failing_after(0, model)) == manifest
    data.touch()
    assert work(1, 2, encoder=failing_after(0, model)) == manifest
    assert str(folder_status(tmp_path / "out", 2)) == "1 of 2 shards finished; 1 not begun"


def test_data_that_were_not_touched_are_not_hashed_again(work, data, monkeypatch):
    work(0, 2)
    hashed = []
    monkeypatch.setattr(DataFiles, "hash", property(lambda files: hashed.append(files) or "another"))
    work(1, 2)
    assert not hashed
    data.touch()
    with pytest.raises(ValueError, match="another data"):
        work(1, 2)
    assert hashed


def test_what_does_not_belong_together_is_refused(work, make_model, rows, tmp_path, model):
    work(0, 2)
    with pytest.raises(ValueError, match="written with another model"):
        work(1, 2, encoder=DocumentEncoder(make_model("windowed"), "cpu"))
    with pytest.raises(ValueError, match="written with another model"):
        work(1, 2, encoder=DocumentEncoder(model, "cpu", "bfloat16"))
    rows[5]["text"] += " more"
    with pytest.raises(ValueError, match="written with another data"):
        work(1, 2, write_lines(tmp_path / "other.jsonl", rows))
    with pytest.raises(ValueError, match="shards of 2, not of 3"):
        work(0, 3)
    with pytest.raises(ValueError, match="numbered from 0"):
        work(2, 2)


def test_parts_of_something_else_are_refused(work, model, rows, tmp_path):
    with pytest.raises(RuntimeError):
        work(0, 1, encoder=failing_after(2, model))
    with pytest.raises(ValueError, match="another model, other data or other --documents-per-part"):
        work(0, 1, documents_per_part=3)
    rows[0]["text"] += " more"
    with pytest.raises(ValueError, match="another model, other data"):
        work(0, 1, write_lines(tmp_path / "other.jsonl", rows))
    assert folder_status(tmp_path / "out", 1).failed


def test_a_damaged_part_is_made_again(work, model, tmp_path):
    work(0, 1, folder=tmp_path / "whole")
    with pytest.raises(RuntimeError):
        work(0, 1, encoder=failing_after(2, model))
    part = tmp_path / "out" / "shard-00000-of-00001.part-00001.parquet"
    vectors = pyarrow.parquet.read_metadata(part).row_group(0).column(1)
    content = bytearray(part.read_bytes())
    # The file stays readable, but its checksum does not fit.
    content[vectors.data_page_offset + vectors.total_compressed_size // 2] ^= 1 << random.randrange(8)
    part.write_bytes(content)
    work(0, 1)
    assert parquet_of(tmp_path / "out") == parquet_of(tmp_path / "whole")


def test_a_damaged_manifest_is_named(work, tmp_path):
    work(0, 1)
    path = tmp_path / "out" / "shard-00000-of-00001.json"
    path.write_text(path.read_text()[: random.randrange(1, 200)])
    with pytest.raises(ValueError, match="is damaged"):
        work(0, 1)
    path.write_text(json.dumps({"format": "another"}))
    with pytest.raises(ValueError, match=r"no memenc\.encoded_shard"):
        work(0, 1)


def test_every_refused_line_is_named_once(work, rows, tmp_path):
    mixed = [rows[0], "no json", *rows[1:], {"text": None}, {"other": "text"}, {"text": 5}]
    path = write_lines(tmp_path / "mixed.jsonl", mixed)
    refused = [entry for index in range(3) for entry in work(index, 3, path)["refused"]]
    assert sorted(entry["line"] for entry in refused) == [2, 25, 26, 27]
    assert "is null" in next(entry["reason"] for entry in refused if entry["line"] == 25)


def test_documents_without_id_are_called_by_their_line(work, rows, tmp_path):
    work(0, 1, write_lines(tmp_path / "nameless.jsonl", [{"text": row["text"]} for row in rows]))
    assert set(vectors_of(tmp_path / "out")) == {str(line) for line in range(1, len(rows) + 1)}


def test_an_empty_shard_is_finished_too(work, rows, tmp_path):
    path = write_lines(tmp_path / "one.jsonl", rows[:1])
    assert sorted(work(index, 2, path)["documents"] for index in range(2)) == [0, 1]


def test_killed_and_begun_again_gives_the_same_files(model, tmp_path):
    data = write_lines(tmp_path / "data.jsonl", reviews(60))
    arguments = {"model": model, "data": str(data), "folder": str(tmp_path)}
    assert run_killed("killed_shard", "encoded", arguments) > 0
    assert len(parquet_of(tmp_path / "whole")) == 15
    assert parquet_of(tmp_path / "killed") == parquet_of(tmp_path / "whole")
    assert not list((tmp_path / "killed").glob("*.tmp"))


def test_parts_of_a_finished_shard_that_are_lost_or_damaged_are_made_again(work, tmp_path):
    manifest = work(0, 1)
    whole = parquet_of(tmp_path / "out")
    (tmp_path / "out" / manifest["parts"][0]["file"]).unlink()
    damaged = tmp_path / "out" / manifest["parts"][2]["file"]
    damaged.write_bytes(damaged.read_bytes()[: random.randrange(100)])
    again = work(0, 1)
    assert again["parts"] == manifest["parts"] and parquet_of(tmp_path / "out") == whole


def test_a_shard_of_another_model_that_was_finished_meanwhile_is_noticed(work, make_model, tmp_path, data):
    other = DocumentEncoder(make_model("windowed", 64), "cpu")

    class Slow(DocumentEncoder):
        def encode_counted(self, texts):
            if not Shard(0, 2).manifest(tmp_path / "out").exists():
                work(0, 2, encoder=other)
            return super().encode_counted(texts)

    with pytest.raises(ValueError, match="was written with another model"):
        work(1, 2, encoder=Slow(make_model("compressive", 64), "cpu"))


def test_ids_are_not_mixed_up_with_lines(rows, tmp_path):
    mixed = [{"text": "first", "id": "2"}, {"text": "second", "id": None}, {"text": "third", "id": ""}, *rows]
    path = write_lines(tmp_path / "mixed.jsonl", mixed)
    reader = read_records(path, label_column=None, on_bad_record="skip", understanding=NamedApart)
    assert [record.id for record in reader] == ["2", *(row["id"] for row in rows if not row["id"].isdecimal())]
    assert reader.problem_lines[:2] == [2, 3] and "give every record an id" in reader.problems[0]
    named = [{"text": "first", "id": "a"}, {"text": "second"}]
    assert (
        len(
            list(
                read_records(write_lines(tmp_path / "named.jsonl", named), label_column=None, understanding=NamedApart)
            )
        )
        == 2
    )
