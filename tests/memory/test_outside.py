"""Designs from outside of memenc: registered, imported, announced by packages, refused by name."""

import importlib
import sys

import pytest
import torch

from memenc import MemencModel, available_memories, register_memory
from memenc.memory import MEMORIES, LayerMemory, design_named
from memenc.memory.none import NoMemory
from memenc.memory.outside import import_modules, source_of
from memenc.memory.windowed import WindowedMemory
from tests.backbones import SEGMENT, tiny_backbone
from tests.memory.checks import assert_close, tokens


def model_with(memory, **options):
    return MemencModel.from_backbone(tiny_backbone(), memory=memory, segment_length=SEGMENT, **options)


@torch.no_grad()
def test_a_registered_memory_does_what_its_formula_says(own_design):
    import_modules(["decayed_mean"])
    model = model_with("decayed_mean", memory_options={"decay": 0.75}, memory_layers=[0])
    ids = tokens(1, 3 * SEGMENT)
    found = model(ids).memory.part("layers.0")
    backbone, mean = model.backbone, 0.0
    for segment in ids.split(SEGMENT, 1):
        keys = backbone.encoder.layer[0].attention.self.key(backbone.embeddings(segment))
        mean = 0.75 * mean + 0.25 * keys.unflatten(-1, (4, 8)).mean(1)
    assert_close(found["keys"][:, :, 0], mean, 1e-5, "keys")
    assert found["segments"].tolist() == [3]


def test_a_composition_takes_it_and_its_budget_is_kept(own_design):
    import_modules(["decayed_mean"])
    options = {"budget_bytes": 30_000, "decayed_mean": {"decay": 0.5}}
    model = model_with("windowed+decayed_mean", memory_options=options, memory_layers="all")
    kept = sum(x.nbytes for name, x in model.initial_memory(1).tensors.items() if name.startswith(("layers.", "top.")))
    assert 28_000 < kept <= 30_000 and "decayed_mean" in available_memories()


def test_a_saved_model_says_what_is_to_be_imported(own_design, tmp_path):
    import_modules(["decayed_mean"])
    model_with("decayed_mean").save_pretrained(tmp_path / "model")
    del MEMORIES["decayed_mean"]
    with pytest.raises(ValueError, match=r"unknown memory 'decayed_mean'.*first import the module that registers it"):
        MemencModel.from_pretrained(tmp_path / "model")
    importlib.reload(sys.modules["decayed_mean"])
    assert MemencModel.from_pretrained(tmp_path / "model").config.memory == "decayed_mean"


class Unfinished(LayerMemory):
    def reset_parameters(self):
        pass


class Odd(WindowedMemory):
    def __init__(self, window, sizes):
        super().__init__(sizes, window)


REFUSED = {
    "plus": ("a+b", WindowedMemory, r"memory name 'a\+b': give letters, digits"),
    "slash": ("a/b", WindowedMemory, "memory name 'a/b'"),
    "dot": ("a.b", WindowedMemory, "memory name 'a.b'"),
    "no name": (WindowedMemory, WindowedMemory, "memory name <class"),
    "in use": ("linear", WindowedMemory, r"'linear' is there already \(memenc.memory.linear.LinearMemory\)"),
    "memenc's own again": ("windowed", WindowedMemory, "'windowed' is there already"),
    "no memory": ("mine", dict, "layer=<class 'dict'> is no class derived from memenc.memory.LayerMemory"),
    "an object": ("mine", None, "layer=None is no class"),
    "unfinished": ("mine", Unfinished, "Unfinished lacks initial_state, write"),
    "no sizes": ("mine", Odd, "the first argument of Odd.__init__ must be `sizes`"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_memory_is_refused(case):
    name, layer, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        register_memory(name, layer)
    assert "mine" not in MEMORIES
    with pytest.raises(ValueError, match=r"row=.*is no class derived from memenc.memory.RowTokens"):
        register_memory("mine", WindowedMemory, row=WindowedMemory)


@pytest.mark.parametrize("memory", [WindowedMemory, None])
def test_a_class_is_no_name(memory):
    with pytest.raises(ValueError, match=r"memory=.*give the name of a design.*memenc.register_memory\(name, class\)"):
        model_with(memory)


def test_an_unknown_part_of_a_composition_with_a_budget_is_named():
    with pytest.raises(ValueError, match="unknown memory 'elephant'"):
        model_with("windowed+elephant", memory_options={"budget_bytes": 50_000})


def test_a_class_that_is_defined_anew_takes_its_place(own_design):
    import_modules(["decayed_mean"])
    before = design_named("decayed_mean")
    own_design.write_text(own_design.read_text().replace("decay=0.9", "decay=0.5"))
    importlib.reload(sys.modules["decayed_mean"])
    after = design_named("decayed_mean")
    assert after.layer is not before.layer and after.source != before.source
    with pytest.raises(ValueError, match=r"'decayed_mean' is there already \(decayed_mean.DecayedMeanMemory\)"):
        register_memory("decayed_mean", WindowedMemory)


def test_the_source_is_that_of_the_class_and_of_those_it_derives_from(own_design):
    import_modules(["decayed_mean"])
    base = sys.modules["decayed_mean"].DecayedMeanMemory

    class Local(base):
        pass

    assert source_of([WindowedMemory, NoMemory]) == ""
    assert source_of([base]) == design_named("decayed_mean").source != source_of([Unfinished])
    assert source_of([Local]) is None


def installed(folder, value, monkeypatch):
    """A package that announces a memory."""
    information = folder / "elsewhere" / "a_package-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: a-package\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[memenc.memories]\ndecayed_mean = {value}\n")
    monkeypatch.syspath_prepend(str(information.parent))
    monkeypatch.syspath_prepend(str(folder))


def test_an_installed_package_is_imported_when_its_memory_is_asked_for(own_design, tmp_path, monkeypatch):
    installed(tmp_path, "decayed_mean", monkeypatch)
    assert "decayed_mean" in available_memories() and "decayed_mean" not in MEMORIES
    assert model_with("windowed+decayed_mean").config.memory == "windowed+decayed_mean"
    assert "decayed_mean" in MEMORIES


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("json", "json does not register the memory 'decayed_mean' that its package announces"),
        ("not_there", "memory 'decayed_mean' of the package a-package cannot be imported: No module named 'not_there'"),
    ],
)
def test_a_package_that_does_not_keep_its_word_is_named(own_design, tmp_path, monkeypatch, value, message):
    installed(tmp_path, value, monkeypatch)
    with pytest.raises(ValueError, match=message):
        model_with("decayed_mean")


def test_a_module_that_is_not_there_is_named_and_what_it_lacks_itself_too(own_design, tmp_path):
    for name in ("not_there", "decayed_mean.inner"):
        with pytest.raises(ValueError, match=f"there is no module '{name}' to import, neither installed nor in"):
            import_modules([name])
    (tmp_path / "lacking.py").write_text("import not_there")
    with pytest.raises(ModuleNotFoundError, match="No module named 'not_there'"):
        import_modules(["lacking"])
