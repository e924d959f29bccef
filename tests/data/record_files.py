"""Files of records of every kind, written by hand."""

import csv
import gzip
import json
import random
from functools import partial

import pandas

UNUSUAL = ["", "two\nlines", "line\u2028separator\x85\x1c", '"quoted", comma', "\x00", "é中😀", "x" * 200_000]


def some_rows():
    rows = [{"id": f"d{number}", "text": text, "label": "odd"} for number, text in enumerate(UNUSUAL)]
    random.shuffle(rows)
    return rows


def write_lines(path, lines):
    data = b"".join(line if isinstance(line, bytes) else line.encode() for line in lines)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def write_json(path, rows):
    return write_lines(path, [json.dumps(row, ensure_ascii=False) + "\n" for row in rows])


def write_csv(path, rows, delimiter=","):
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_parquet(path, rows):
    pandas.DataFrame(rows).to_parquet(path)
    return path


WRITERS = {
    "a.jsonl": write_json,
    "a.jsonl.gz": write_json,
    "a.json": write_json,
    "A.JSONL": write_json,
    "a.csv": write_csv,
    "a.csv.gz": write_csv,
    "a.tsv": partial(write_csv, delimiter="\t"),
    "a.tsv.gz": partial(write_csv, delimiter="\t"),
    "a.parquet": write_parquet,
}

GOOD = '{"text": "good", "label": "x"}\n'
