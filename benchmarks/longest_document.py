"""Peak memory of encoding a corpus, by the length of its longest document.

    python benchmarks/longest_document.py [--tokens 1000 10000 100000 1000000] [--memory compressive]

Each number is the peak resident memory of a fresh process that encodes one shard: a hundred documents of 300 tokens and
one that is longer.
"""

import by_length

ENCODE = """
from memenc.corpus_encoding import Shard, ShardWork
from memenc.data import read_records
data = folder / "data.jsonl"
with data.open("w") as file:
    for length in [300] * 50 + [tokens] + [300] * 50:
        file.write(json.dumps({"text": " ".join(generator.choices(WORDS, k=length))}) + "\\n")
started = time.process_time()
ShardWork(encoder, read_records(str(data), label_column=None), folder / "vectors", Shard(0, 1)).run()
say(started, longest=tokens, text_kilobytes=round(data.stat().st_size / 1024))
"""

if __name__ == "__main__":
    by_length.main("longest_document", __doc__, ENCODE, [1_000, 10_000, 100_000, 1_000_000])
