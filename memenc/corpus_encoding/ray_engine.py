"""Every shard of a corpus on a Ray cluster, through Ray Data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from memenc.corpus_encoding.document_encoder import DocumentEncoder
from memenc.corpus_encoding.manifest import Shard
from memenc.corpus_encoding.shard import ShardWork
from memenc.data.records import RecordReader


@dataclass
class ShardsOnRay:
    """What a worker of Ray Data makes once and calls with numbers of shards.

    Args:
        encoder: turns texts into vectors; each worker loads the model once.
        reader: of the whole corpus, which every worker must reach under the same path, as the folder.
        folder: of all shards.
        count: shards in all.
        documents_per_part: documents of a file.
    """

    encoder: DocumentEncoder
    reader: RecordReader
    folder: Path
    count: int
    documents_per_part: int

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """What went wrong with the shards in column "id", "" for nothing."""
        reasons = [self.reason(int(index)) for index in batch["id"]]
        return {"shard": np.asarray(batch["id"]), "reason": np.array(reasons, dtype=object)}

    def reason(self, index: int) -> str:
        """Encode one shard and say what went wrong, or "": the others go on."""
        shard = Shard(index, self.count)
        try:
            ShardWork(self.encoder, self.reader, self.folder, shard, self.documents_per_part).run()
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return ""


def encode_on_ray(shards: ShardsOnRay, workers: int = 1, graphics_cards: float = 0) -> None:
    """Encode all shards of a corpus that are not finished.

    Args:
        shards: what is to be done; the same files come out as without Ray.
        workers: processes, each with a model.
        graphics_cards: of each worker.

    Raises:
        ValueError: Ray is not installed, or shards failed: all that did, with their reasons.
    """
    try:
        import ray  # pyright: ignore[reportMissingImports] an extra
    except ImportError as error:
        raise ValueError("--engine ray needs Ray: pip install 'memenc[ray]'") from error
    # Items lie there from the start; a range would need a processor, of which the workers may have taken all.
    numbers = ray.data.from_items([{"id": index} for index in range(shards.count)], override_num_blocks=shards.count)
    found = numbers.map_batches(
        ShardsOnRay,
        fn_constructor_args=(shards.encoder, shards.reader, shards.folder, shards.count, shards.documents_per_part),
        batch_size=1,
        num_gpus=graphics_cards,
        compute=ray.data.ActorPoolStrategy(size=workers),
    )
    failed = [f"shard {row['shard']}: {row['reason']}" for row in found.iter_rows() if row["reason"]]
    if failed:
        raise ValueError(f"{len(failed)} of {shards.count} shards failed: {'; '.join(failed)}")
