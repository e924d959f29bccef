"""The same encoder on a local Ray: it takes most of a minute to start."""

import importlib.util
from pathlib import Path

import numpy
import pyarrow.parquet
import pytest

from memenc.corpus_encoding import DocumentEncoder, Shard, folder_status
from memenc.corpus_encoding.ray_engine import ShardsOnRay, encode_on_ray
from memenc.data import read_records
from tests.cli.documents import write_lines

ROOT = Path(__file__).parents[2]
WITHOUT_RAY = importlib.util.find_spec("ray") is None


@pytest.fixture
def ray(monkeypatch):
    import ray

    # Workers inherit it.
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'kernels'}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    ray.init(num_cpus=2, object_store_memory=200_000_000, include_dashboard=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield ray
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.skipif(WITHOUT_RAY, reason="Ray is not installed: pip install 'memenc[ray]'")
@pytest.mark.filterwarnings("ignore")  # Ray has its own, of every kind, about itself
def test_ray(ray, model, rows, tmp_path):
    encoder, data = DocumentEncoder(model, "cpu"), write_lines(tmp_path / "data.jsonl", [*rows, "no json"])
    texts = [row["text"] for row in rows]
    expected = dict(zip([row["id"] for row in rows], encoder.encode(texts), strict=True))

    # The encoder itself, on any Ray dataset.
    corpus = ray.data.from_items([{"id": row["id"], "text": row["text"]} for row in rows])
    made = corpus.map_batches(
        DocumentEncoder, fn_constructor_args=(model, "cpu"), batch_size=7, compute=ray.data.ActorPoolStrategy(size=1)
    ).take_all()
    found = {row["id"]: row["vector"] for row in made}
    for name, vector in expected.items():
        numpy.testing.assert_allclose(found[name], vector, atol=1e-5)

    # Shards: the same files as from processes of one's own, and what is finished is left alone.
    reader = read_records(data, label_column=None, on_bad_record="skip")
    encode_on_ray(ShardsOnRay(encoder, reader, tmp_path / "out", 3, 4))
    assert folder_status(tmp_path / "out", 3).complete
    table = pyarrow.concat_tables(map(pyarrow.parquet.read_table, sorted((tmp_path / "out").glob("*.parquet"))))
    found = dict(zip(table["id"].to_pylist(), table["vector"].to_pylist(), strict=True))
    assert set(found) == set(expected)
    for name, vector in expected.items():
        numpy.testing.assert_allclose(found[name], vector, atol=1e-5)


def test_what_fails_is_told_and_the_others_go_on(encoder, rows, tmp_path):
    # What a worker does, without Ray.
    data = write_lines(tmp_path / "data.jsonl", rows)
    work = ShardsOnRay(encoder, read_records(data, label_column=None), tmp_path / "out", 2, 4)
    (tmp_path / "out").mkdir()
    Shard(1, 2).part(tmp_path / "out", 0).mkdir()
    first, second = work({"id": numpy.array([0, 1])})["reason"]
    assert first == "" and "Error" in second
    assert folder_status(tmp_path / "out", 2).finished == [0]
    assert list(folder_status(tmp_path / "out", 2).failed) == [1]


@pytest.mark.skipif(not WITHOUT_RAY, reason="Ray is installed")
def test_without_ray_it_says_what_to_install(encoder, data, tmp_path):
    work = ShardsOnRay(encoder, read_records(data, label_column=None), tmp_path / "out", 2, 4)
    with pytest.raises(ValueError, match=r"memenc\[ray\]"):
        encode_on_ray(work)
