"""A shard for `killed.py`."""

from pathlib import Path

from memenc.corpus_encoding import DocumentEncoder, Shard, ShardWork
from memenc.data import read_records


def encoded(arguments):
    encoder = DocumentEncoder(arguments["model"], "cpu")
    reader = read_records(arguments["data"], label_column=None)
    # Both are made before the processes are, which would each take their time for it.
    assert encoder.model_hash

    def into(name):
        work = ShardWork(encoder, reader, Path(arguments["folder"]) / name, Shard(0, 1), documents_per_part=4)
        return lambda: work.run()

    return into("killed"), into("whole")
