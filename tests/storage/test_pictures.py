"""Pictures and reports appear whole, or what was there before stays."""

import pytest

from memenc.cli import demo_results, doctor
from memenc.comparison import compare
from memenc.comparison.report.plots import save_plots
from memenc.diagnostics import liveness
from memenc.storage import files
from tests.comparison.made_up import made_up, settings
from tests.memory.checks import build, tokens


def write_comparison(folder):
    found = compare(settings(published=[]), folder / "comparison", work=made_up)
    return lambda: save_plots(found, folder)


def write_liveness(folder):
    found = liveness(build("none"), tokens(1, 40), more_segments=1)
    return lambda: found.plot(folder / "alive.png")


def write_demo(folder):
    row = {"model": "ours", "tokens": 61, "accuracy": 0.9, "standard_error": 0.1}
    return lambda: demo_results.save_plot([row], folder / "accuracy.png", 0.5)


def write_doctor(folder):
    return lambda: doctor.write_out({"healthy": True}, None, folder / "doctor.json")


WRITERS = {
    "comparison": (write_comparison, ["accuracy_memorize_2100.png", "bytes_memorize.png", "cost.png"]),
    "liveness": (write_liveness, ["alive.png"]),
    "demo": (write_demo, ["accuracy.png"]),
    "doctor": (write_doctor, ["doctor.json"]),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_leaves_what_was_there(name, tmp_path, monkeypatch):
    make, names = WRITERS[name]
    write = make(tmp_path)
    write()
    to_disk = files._to_disk
    for name in names:
        assert (tmp_path / name).read_bytes().startswith((b"{", b"\x89PNG"))
        (tmp_path / name).write_bytes(b"earlier")

        def full(file, name=name):
            if file.name.startswith(name):
                raise OSError(f"no space left for {name}")
            to_disk(file)

        monkeypatch.setattr(files, "_to_disk", full)
        with pytest.raises(OSError, match=f"no space left for {name}"):
            write()
        assert (tmp_path / name).read_bytes() == b"earlier"
    assert not list(tmp_path.glob("*.tmp"))
