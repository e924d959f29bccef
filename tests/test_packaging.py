"""What is installed, and how it lives beside Hugging Face's package `kernels`."""

import ast
import os
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.test_imports_point_one_way import imported_modules, sources

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NEEDED, EXTRAS = PROJECT["dependencies"], PROJECT["optional-dependencies"]


def names_of(lines):
    return {canonicalize_name(Requirement(line).name) for line in lines}


def test_what_is_imported_is_declared():
    declared = names_of([*NEEDED, *(line for extra, lines in EXTRAS.items() if extra != "dev" for line in lines)])
    found = {
        module.partition(".")[0]
        for path, source in sources()
        for _, module in imported_modules(ast.parse(source), Path(path).parts[:-1])
    }
    distributions = metadata.packages_distributions()
    for module in found - sys.stdlib_module_names - {"memenc", "memenc_kernels"}:
        # What is not installed here is called as it is imported.
        names = {canonicalize_name(name) for name in distributions.get(module, [module])}
        assert names & declared, f"{module} is imported, and none of {names} is among the dependencies"


def test_direct_dependencies_are_pinned():
    lines = (line.partition("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines())
    pinned = names_of(filter(None, lines))
    assert names_of([*NEEDED, *EXTRAS["dev"], *EXTRAS["demo"]]) <= pinned
    assert pinned <= names_of([*NEEDED, *(line for lines in EXTRAS.values() for line in lines)])


def test_kernels_folder_is_no_package():
    # As a package it would hide Hugging Face's `kernels`, which transformers imports.
    assert not (ROOT / "kernels" / "__init__.py").exists()


def test_wheel_holds_only_our_packages(tmp_path):
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--wheel-dir", str(tmp_path)]
    build = subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(ROOT)], capture_output=True, text=True)
    assert build.returncode == 0, build.stdout + build.stderr
    (wheel,) = tmp_path.glob("memenc-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    folders = {name.split("/")[0] for name in names}
    dist_info = wheel.name.removesuffix("-py3-none-any.whl") + ".dist-info"
    assert folders == {"memenc", "memenc_kernels", dist_info}
    typed = {"memenc/py.typed", "memenc_kernels/py.typed"}
    assert {*typed, "memenc/comparison/presets/smoke.yaml"} <= set(names)
    assert f"{dist_info}/licenses/LICENSE" in names


IMPORT_ALL = """
import importlib.util
import memenc, memenc_kernels, transformers
from transformers import AutoModel, BertModel
spec = importlib.util.find_spec("kernels")
print(spec.origin if spec else None)
"""


def import_all(path, folder):
    """Import everything in a fresh process with `path` first; return the file `kernels` resolves to."""
    run = subprocess.run(
        [sys.executable, "-P", "-c", IMPORT_ALL],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


@pytest.mark.parametrize("root_first", [True, False])
def test_imports_beside_another_package_called_kernels(tmp_path, root_first):
    # pytest, `python -m` and notebooks put the repository's root first, an installed memenc stands after.
    other = tmp_path / "kernels" / "__init__.py"
    other.parent.mkdir()
    other.write_text("__version__ = '0.0.0'\n")
    path = [ROOT, ROOT / "kernels", tmp_path] if root_first else [tmp_path, ROOT, ROOT / "kernels"]
    assert import_all(path, tmp_path) == str(other)


def test_imports_without_another_package_called_kernels(tmp_path):
    # Our folder is then at most a namespace, which has no file.
    assert not import_all([ROOT, ROOT / "kernels"], tmp_path).startswith(str(ROOT))
