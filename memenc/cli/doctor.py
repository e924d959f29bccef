"""`memenc doctor`: what is installed, what it runs on, and which implementation of memory attention runs."""

from __future__ import annotations

import importlib
import importlib.util
import json
import platform
import tomllib
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from packaging.requirements import Requirement
from rich.table import Table

from memenc.cli import console
from memenc.results import cpu_model, environment, memenc_version, version_of

SHOWN = ("torch", "transformers", "triton", "einops", "datasets", "safetensors", "scikit-learn", "peft")
# As Linux calls them, on x86 and on ARM.
CPU_BF16 = {"avx512_bf16", "amx_bf16", "bf16"}
PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Args:
        name: of what is looked at.
        found: its version or state.
        wanted: what memenc asks for.
        good: whether that is met.
        optional: whether memenc works without it.
    """

    name: str
    found: str
    wanted: str = ""
    good: bool = True
    optional: bool = False


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    output: Annotated[Path | None, typer.Option(help="Write the JSON to this file as well.")] = None,
) -> None:
    """Show what is installed, which kernels run and why not; exit code 1 if something needed is missing or too old."""
    checks = package_checks()
    device = device_facts()
    healthy = all(check.good or check.optional for check in checks)
    facts = {"healthy": healthy, "packages": [asdict(check) for check in checks], "device": device, **environment()}
    text = json.dumps(facts, indent=2)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text + "\n", encoding="utf-8")
    if as_json:
        typer.echo(text)
    else:
        show(checks, device)
    if not healthy:
        console.note("something is missing or too old: see above, then pip install --upgrade memenc", style="bold red")
        raise typer.Exit(1)


def package_checks() -> list[Check]:
    """memenc, Python and the packages it builds on."""
    python, wanted = platform.python_version(), python_requirement()
    checks = [Check("memenc", memenc_version()), Check("python", python, wanted, meets(python, wanted))]
    required = requirements()
    return checks + [package_check(name, required) for name in SHOWN]


def package_check(name: str, required: dict[str, Requirement]) -> Check:
    """One package: optional if memenc asks for it only in an extra, or not on this machine."""
    requirement, found = required.get(name), version_of(name)
    wanted = str(requirement.specifier) if requirement else ""
    needed = requirement is not None and (requirement.marker is None or requirement.marker.evaluate({"extra": ""}))
    good = found is not None and meets(found, wanted)
    return Check(name, found or "not installed", wanted, good, optional=not needed)


def requirements() -> dict[str, Requirement]:
    """What memenc asks for: from its installation, or from pyproject.toml where it runs from a checkout."""
    try:
        lines = metadata.requires("memenc") or []
    except metadata.PackageNotFoundError:
        project = _project()
        lines = [*project.get("dependencies", [])]
        for name, extra in project.get("optional-dependencies", {}).items():
            lines += [f'{line} ; extra == "{name}"' for line in extra if ";" not in line]
    found = [Requirement(line) for line in lines]
    # A package may stand in an extra too; the later entry counts, and that must be the one that is always needed.
    return {requirement.name: requirement for requirement in sorted(found, key=_in_extra, reverse=True)}


def _in_extra(requirement: Requirement) -> bool:
    return "extra ==" in str(requirement.marker)


def python_requirement() -> str:
    """The versions of Python that memenc supports."""
    try:
        return str(metadata.metadata("memenc").json.get("requires_python", ""))
    except metadata.PackageNotFoundError:
        return _project().get("requires-python", "")


def _project() -> dict[str, Any]:
    return tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"] if PYPROJECT.is_file() else {}


def meets(version: str, wanted: str) -> bool:
    """Whether a version is among those wanted; one made from a checkout counts as well."""
    return Requirement(f"package{wanted}").specifier.contains(version, prereleases=True)


def device_facts() -> dict[str, Any]:
    """Devices, number formats, threads, and how memory attention is computed here."""
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    implementation, reason = attention_implementation()
    return {
        "cpu": cpu_model(),
        "gpus": gpus,
        "default_device": "cuda" if torch.cuda.is_available() else "cpu",
        "bf16": bf16_state(),
        "threads": torch.get_num_threads(),
        "triton": triton_state(),
        "memory_attention": implementation,
        "memory_attention_reason": reason,
    }


def has_bf16_instructions() -> bool:
    """Whether bfloat16 is fast on the default device."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    information = Path("/proc/cpuinfo")
    words = information.read_text(encoding="utf-8").split() if information.is_file() else []
    return bool(CPU_BF16 & set(words))


def bf16_state() -> str:
    """How bfloat16 runs on the default device."""
    if torch.cuda.is_available():
        return "fast" if torch.cuda.is_bf16_supported(including_emulation=False) else "emulated: saves memory, not time"
    if has_bf16_instructions():
        return "the processor has instructions for it: --bf16 can pay"
    return "no instructions for it found in the processor: --bf16 is slow"


def triton_state() -> str:
    """Whether Triton is installed and can be imported."""
    if importlib.util.find_spec("triton") is None:
        return "not installed"
    try:
        importlib.import_module("triton")
    except Exception as error:  # whatever a broken installation raises is the finding
        return f"installed, but cannot be imported: {error}"
    return "importable, no CUDA device to run on" if not torch.cuda.is_available() else "importable"


def attention_implementation() -> tuple[str, str]:
    """Which implementation of memory attention runs on this device, and why."""
    if importlib.util.find_spec("memenc_kernels.memory_attention.triton") is None:
        return "torch reference", "this version of memenc has no Triton kernel for it"
    if not torch.cuda.is_available():
        return "torch reference", "Triton kernels need a CUDA device, and torch sees none"
    return "chosen by memenc_kernels", "a Triton kernel is there"


def show(checks: list[Check], device: dict[str, Any]) -> None:
    """Two tables on standard output."""
    packages = Table(title="packages", title_justify="left")
    for column in ("package", "found", "wanted", ""):
        packages.add_column(column)
    for check in checks:
        packages.add_row(check.name, check.found, check.wanted, verdict(check))
    machine = Table(title="machine", title_justify="left", show_header=False)
    for name, value in device.items():
        machine.add_row(name.replace("_", " "), ", ".join(value) or "none" if isinstance(value, list) else str(value))
    console.out().print(packages, machine)


def verdict(check: Check) -> str:
    """A check's result in a word."""
    if check.good:
        return "[green]good[/green]"
    return "[yellow]optional[/yellow]" if check.optional else "[bold red]missing or too old[/bold red]"
