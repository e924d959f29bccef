"""Peak memory of reading one document of 100 thousand, 1 million and 10 million tokens, its state saved as it goes.

    python benchmarks/endless.py [--tokens 100000 1000000 10000000] [--memory compressive]

Each number is the peak resident memory of a fresh process that reads words from an iterator and writes its state every
100,000 tokens.
"""

import by_length

READ = """
from memenc.corpus_encoding import EndlessDocument
pieces = (
    " ".join(generator.choices(WORDS, k=min(1_000, tokens - start))) + " " for start in range(0, tokens, 1_000)
)
seen = []
document = EndlessDocument(encoder, folder / "state", save_every=100_000, advance=seen.append)
started = time.process_time()
document.read(pieces)
say(started, tokens=sum(seen), state_kilobytes=round((folder / "state").stat().st_size / 1024))
"""

if __name__ == "__main__":
    by_length.main("endless", __doc__, READ, [100_000, 1_000_000, 10_000_000])
