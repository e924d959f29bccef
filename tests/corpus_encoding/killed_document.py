"""One long document for `killed.py`."""

from pathlib import Path

import numpy

from memenc.corpus_encoding import DocumentEncoder
from memenc.corpus_encoding.endless import EndlessDocument


def encoded(arguments):
    encoder = DocumentEncoder(arguments["model"], "cpu")
    # Made before the processes are, which would each take their time for it.
    assert encoder.model_hash
    folder, data = Path(arguments["folder"]), Path(arguments["data"])

    def into(name):
        def work():
            document = EndlessDocument(encoder, folder / f"{name}.state", save_every=1_000, tokens_per_call=1_000)
            numpy.save(folder / f"{name}.npy", document.read(data))

        return work

    return into("killed"), into("whole")
