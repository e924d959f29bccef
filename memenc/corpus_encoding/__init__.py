"""A corpus of any size into vectors: shards that survive being killed, and one encoder for every engine."""

from memenc.corpus_encoding.document_encoder import DocumentEncoder
from memenc.corpus_encoding.endless import EndlessDocument
from memenc.corpus_encoding.loading import NewMemory, load_encoder
from memenc.corpus_encoding.manifest import FolderStatus, Shard, folder_status
from memenc.corpus_encoding.shard import ShardWork

__all__ = [
    "DocumentEncoder",
    "EndlessDocument",
    "FolderStatus",
    "NewMemory",
    "Shard",
    "ShardWork",
    "folder_status",
    "load_encoder",
]
