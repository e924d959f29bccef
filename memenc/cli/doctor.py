"""`memenc doctor`: what is installed, what it runs on, which implementation runs, and whether a memory is alive."""

from __future__ import annotations

import importlib
import importlib.util
import json
import platform
import tomllib
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from packaging.requirements import Requirement
from rich.table import Table
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoConfig, AutoTokenizer, set_seed

from memenc.cli import console, options
from memenc.cli.outputs import check_output_file
from memenc.config import MemencConfig
from memenc.data.tokens import tokenize_document
from memenc.diagnostics import Liveness, liveness
from memenc.model import MemencModel
from memenc.saved import load_whole, require_folder
from memenc.storage.files import write_whole
from memenc.storage.results import cpu_model, environment, memenc_version, version_of
from memenc_kernels import products
from memenc_kernels.dispatch import implementations

SHOWN = ("torch", "transformers", "triton", "einops", "datasets", "safetensors", "scikit-learn", "peft")
# As Linux calls them, on x86 and on ARM.
CPU_BF16 = {"avx512_bf16", "amx_bf16", "bf16"}
# What a memory is examined with: the longest of the first documents, cut to so many segments, or as many random ones.
READ, EXAMINED, SEGMENTS = 64, 2, 8
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
    model: Annotated[Path | None, typer.Option(help="Folder of a memenc model whose memory is examined.")] = None,
    data: Annotated[str | None, typer.Option(help="Documents to examine it with; random tokens without.")] = None,
    text_column: Annotated[str, typer.Option(help="Column of the documents.")] = "text",
    delimiter: Annotated[
        str | None, typer.Option(help="What separates columns of .csv, if no comma; tab is one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    output: Annotated[
        Path | None, typer.Option(help="Write the JSON to this file as well; with --model, a plot if it ends in .png.")
    ] = None,
    more_segments: Annotated[
        int, typer.Option(help="With --model: segments read on to see where the state goes.", min=1)
    ] = 64,
    seed: options.Seed = 0,
    device: options.Device = "auto",
) -> None:
    """Show what is installed and which kernels run; with --model, whether its memory is alive.

    Exit code 1 if something needed is missing or too old, or if the memory has problems.
    """
    if model is None and (data is not None or _is_plot(output)):
        raise ValueError("--data and a plot need a model to examine: give --model as well")
    if delimiter is not None and data is None:
        raise ValueError(f"--delimiter {delimiter} is for --data; give it, or leave this out")
    if output is not None:
        check_output_file(output)
    documents = None if data is None else options.DocumentOptions(data, None, text_column, delimiter=delimiter)
    checks, facts_of_device = package_checks(), device_facts()
    with console.err().status("examining the memory") if model is not None else nullcontext():
        found = None if model is None else examined(model, documents, more_segments, seed, device)
    problems = [] if found is None else found.problems()
    installed = all(check.good or check.optional for check in checks)
    facts = {"healthy": installed and not problems, "packages": [asdict(check) for check in checks]}
    facts |= {"device": facts_of_device, **environment()} | ({} if found is None else {"liveness": found.to_dict()})
    write_out(facts, found, output)
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
    else:
        show(checks, facts_of_device, found)
    if not installed:
        console.note("something is missing or too old: see above, then pip install --upgrade memenc", style="bold red")
    for problem in problems:
        console.note(f"- {problem}", style="bold red")
    if not facts["healthy"]:
        raise typer.Exit(1)


def _is_plot(output: Path | None) -> bool:
    return output is not None and output.suffix == ".png"


def write_out(facts: dict[str, Any], found: Liveness | None, output: Path | None) -> None:
    """Facts as JSON, or a memory as a plot."""
    if output is None:
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    if _is_plot(output) and found is not None:
        found.plot(output)
    else:
        write_whole(output, json.dumps(facts, indent=2) + "\n")


def examined(
    folder: Path, documents: options.DocumentOptions | None, more_segments: int, seed: int, device: str
) -> Liveness:
    """What the memory of a saved model does.

    Raises:
        ValueError: the folder holds no memenc model, or no document is long enough.
    """
    require_folder(folder)
    if not isinstance(AutoConfig.from_pretrained(folder), MemencConfig):
        raise ValueError(f"{folder} is a plain encoder without a memory; give a folder written by memenc train")
    set_seed(seed)
    model = load_whole(MemencModel, folder)
    model.to(options.chosen_device(device))  # pyright: ignore[reportArgumentType] transformers hides the signature
    longest = SEGMENTS * model.own_tokens_per_segment
    if documents is None:
        low, high = ordinary_ids(model)
        return liveness(model, torch.randint(low, high, (EXAMINED, longest)), seed=seed, more_segments=more_segments)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    records = islice(documents.records(), READ)
    read = [torch.from_numpy(tokenize_document(record.text, tokenizer).astype("int64")) for record in records]
    if not read:
        raise ValueError(f"{documents.data} holds no documents")
    chosen = sorted(read, key=len, reverse=True)[:EXAMINED]
    ids = pad_sequence([document[:longest] for document in chosen], batch_first=True, padding_value=-1)
    return liveness(model, ids.clamp(min=0), ids >= 0, seed=seed, more_segments=more_segments)


def ordinary_ids(model: MemencModel) -> tuple[int, int]:
    """From which to below which token id most are words: special tokens stand in front, or are few."""
    special = model.encoder.special
    vocabulary = model.backbone.config.vocab_size
    first = max([special.padding, *special.prefix, *special.suffix]) + 1
    return (first if first < vocabulary // 2 else 0), vocabulary


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
    """Devices, number formats, threads, and which implementation of every kernel runs here, and why."""
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "cpu": cpu_model(),
        "gpus": gpus,
        "default_device": "cuda" if torch.cuda.is_available() else "cpu",
        "bf16": bf16_state(),
        "threads": torch.get_num_threads(),
        "cpu_products": products_state(),
        "triton": triton_state(),
        "kernels": [asdict(choice) for choice in implementations()],
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


def products_state() -> str:
    """What multiplies matrices on the CPU."""
    reason = products.why_not()
    return "oneDNN: the faster here for float32" if reason is None else f"torch's usual library: {reason}"


def triton_state() -> str:
    """Whether Triton is installed and can be imported."""
    if importlib.util.find_spec("triton") is None:
        return "not installed"
    try:
        importlib.import_module("triton")
    except Exception as error:  # whatever a broken installation raises is the finding
        return f"installed, but cannot be imported: {error}"
    return "importable, no CUDA device to run on" if not torch.cuda.is_available() else "importable"


def show(checks: list[Check], device: dict[str, Any], found: Liveness | None = None) -> None:
    """Two tables on standard output, and a third for a memory."""
    packages = Table(title="packages", title_justify="left")
    for column in ("package", "found", "wanted", ""):
        packages.add_column(column)
    for check in checks:
        packages.add_row(check.name, check.found, check.wanted, verdict(check))
    machine = Table(title="machine", title_justify="left", show_header=False)
    for name, value in device.items():
        if name != "kernels":
            machine.add_row(
                name.replace("_", " "), ", ".join(value) or "none" if isinstance(value, list) else f"{value}"
            )
    for choice in device["kernels"]:
        machine.add_row(choice["function"].replace("_", " "), f"{choice['implementation']}: {choice['reason']}")
    console.out().print(packages, machine, *([] if found is None else [found.table()]))


def verdict(check: Check) -> str:
    """A check's result in a word."""
    if check.good:
        return "[green]good[/green]"
    return "[yellow]optional[/yellow]" if check.optional else "[bold red]missing or too old[/bold red]"
