"""Every module of memenc imports only from its left in RANKS."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent

RANKS = [
    ["memenc_kernels"],
    ["config", "storage", "progress"],
    ["devices", "lead", "typed"],
    ["segments", "state"],
    ["lockstep", "output"],
    ["data"],
    ["memory"],
    ["backbones"],
    ["encoder"],
    ["texts", "checks"],
    ["readout"],
    ["saved"],
    ["starting"],
    ["pretrained"],
    ["model"],
    ["testing"],
    ["tasks"],
    ["corpus_encoding"],
    ["training"],
    ["baselines"],
    ["diagnostics"],
    ["estimator"],
    ["trained"],
    ["answering"],
    ["answerer"],
    ["comparison"],
    ["cli"],
]
RANK_OF = {unit: rank for rank, units in enumerate(RANKS) for unit in units}

# They hand out what the others make.
EXEMPT = {"memenc/__init__.py", "memenc/__main__.py"}


def imported_modules(tree, package):
    """Yield (line, dotted name) of every import, at any depth; relative ones start from `package`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            # `from memenc import state` names a module, `from memenc.state import x` something inside it.
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}" if base == "memenc" else base


def unit_of(module):
    """Return the unit a dotted name belongs to ("" is memenc itself), or None when it is not ours."""
    top, *rest = module.split(".")
    if top == "memenc_kernels":
        return top
    if top == "memenc":
        return rest[0] if rest else ""
    return None


def violations(path, source):
    """Return one message per forbidden import of the file `path`, which is relative to the import root."""
    package = Path(path).parts[:-1]
    own = unit_of(".".join(Path(path).with_suffix("").parts))
    if own not in RANK_OF:
        return [f"{path}: {own!r} stands in no rank; give it a place in RANKS of {Path(__file__).name}"]
    found = []
    for line, module in imported_modules(ast.parse(source), package):
        target = unit_of(module)
        if target is None or target == own:
            continue
        if target not in RANK_OF:
            found.append(f"{path}:{line}: imports {module}, which stands in no rank")
        elif RANK_OF[target] >= RANK_OF[own]:
            found.append(f"{path}:{line}: {own} imports {module}, which does not stand left of it")
    return found


def sources():
    for root, package in [(ROOT, "memenc"), (ROOT / "kernels", "memenc_kernels")]:
        for file in sorted((root / package).rglob("*.py")):
            path = file.relative_to(root).as_posix()
            if path not in EXEMPT:
                yield path, file.read_text(encoding="utf-8")


def test_imports_point_one_way():
    files = list(sources())
    assert files, f"no source files found below {ROOT}"
    found = [message for path, source in files for message in violations(path, source)]
    assert not found, "\n" + "\n".join(found)


TO_THE_RIGHT = "does not stand left"
UNRANKED = "stands in no rank"

PLANTED = {
    "to the right": ("memenc/memory/none.py", "from memenc.cli.main import app", TO_THE_RIGHT),
    "relative": ("memenc/memory/none.py", "from ..encoder import x", TO_THE_RIGHT),
    "relative module": ("memenc/state.py", "from . import memory", TO_THE_RIGHT),
    "from a package's init": ("memenc/memory/__init__.py", "from ..encoder import x", TO_THE_RIGHT),
    "inside a function": ("memenc/data/text.py", "def f():\n    import memenc.memory", TO_THE_RIGHT),
    "same rank": ("memenc/segments.py", "from memenc.state import MemoryState", TO_THE_RIGHT),
    "public name": ("memenc/encoder/segment_encoder.py", "from memenc import MemencConfig", UNRANKED),
    "memenc itself": ("memenc/encoder/segment_encoder.py", "import memenc", UNRANKED),
    "kernel to memenc": ("memenc_kernels/scan/triton.py", "import memenc.config", TO_THE_RIGHT),
    "unranked file": ("memenc/misc.py", "", "'misc' stands in no rank"),
    "unranked package": ("memenc/misc/inner.py", "", "'misc' stands in no rank"),
}

ALLOWED = {
    "to the left": ("memenc/cli/main.py", "from memenc import config\nfrom memenc.memory.base import State"),
    "own package": ("memenc/memory/none.py", "from .base import State\nfrom memenc.memory import base"),
    "kernels": ("memenc/memory/none.py", "import memenc_kernels\nfrom memenc_kernels import scan"),
    "others": ("memenc/config.py", "import torch\nfrom memencoder import cli"),
}


def test_planted_violations_are_found():
    for name, (path, source, message) in PLANTED.items():
        found = violations(path, source)
        assert len(found) == 1 and message in found[0], f"{name}: {found}"


def test_allowed_imports_pass():
    for name, (path, source) in ALLOWED.items():
        assert violations(path, source) == [], name
