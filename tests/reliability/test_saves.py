"""R21 in small: stopped while saving, by SIGTERM or SIGKILL, a process leaves what was saved last.

A full disk has its tests in tests/storage/test_files.py; `python -m benchmarks.reliability` stops more often.
"""

import pytest

from benchmarks.reliability.saves import SAVES, stopped_while_saving


@pytest.mark.parametrize("kind", SAVES)
@pytest.mark.parametrize("gently", (True, False), ids=("SIGTERM", "SIGKILL"))
def test_what_was_saved_last_is_there(kind, gently, tmp_path):
    found = [stopped_while_saving(kind, tmp_path / str(number), gently) for number in range(2)]
    # A model is several files: between their moves, which write nothing, it is refused and never mixed up.
    allowed = {"whole", "refused"} if kind == "model" else {"whole"}
    assert set(found) <= allowed, found
