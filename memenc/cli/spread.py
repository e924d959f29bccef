"""Turn dataclasses into command-line options: one declaration of an option, with its help, for Python and the shell."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """Replace every parameter `Annotated[SomeDataclass, "Panel"]` by one option per field, shown in that panel.

    The help of an option is what the docstring of the dataclass says about the field. The command gets the dataclass;
    a ValueError of its constructor is an error of the user.
    """
    signature = inspect.signature(command, eval_str=True)
    groups = {name: spec for name, spec in map(_group, signature.parameters.values()) if spec is not None}

    def run(**given: Any) -> None:
        made = {
            name: kind(**{field.name: given.pop(field.name) for field in fields(kind)})
            for name, (kind, _) in groups.items()
        }
        command(**made, **given)

    parameters = []
    for parameter in signature.parameters.values():
        own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
        parameters += _options(*groups[parameter.name]) if parameter.name in groups else own
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__dict__["__signature__"] = inspect.Signature(parameters)
    return run


def _group(parameter: inspect.Parameter) -> tuple[str, tuple[type, str] | None]:
    """Name of a parameter, and its (dataclass, panel) if it is to be spread."""
    if get_origin(parameter.annotation) is Annotated:
        kind, detail, *_ = get_args(parameter.annotation)
        if isinstance(detail, str):
            return parameter.name, (kind, detail)
    return parameter.name, None


def _options(kind: type, panel: str) -> list[inspect.Parameter]:
    """The fields of a dataclass as parameters that typer understands."""
    help_of, types = argument_help(kind), get_type_hints(kind)
    made = []
    for field in fields(kind):
        # Given its name, typer adds no second flag that says the opposite.
        names = [f"--{field.name.replace('_', '-')}"] if types[field.name] is bool else []
        option = typer.Option(*names, help=help_of.get(field.name), rich_help_panel=panel)
        default = inspect.Parameter.empty if field.default is MISSING else field.default
        annotation = Annotated[types[field.name], option]
        parameter = inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
        )
        made.append(parameter)
    return made


def given_options(options: Any, left_out: Any) -> dict[str, str]:
    """The options of a dataclass that are not as in another one of its kind, as somebody gives them, by field."""
    values = {field.name: getattr(options, field.name) for field in fields(options)}
    given = {name: value for name, value in values.items() if value != getattr(left_out, name)}
    return {name: f"--{name.replace('_', '-')} {value}" for name, value in given.items()}


def argument_help(documented: type) -> dict[str, str]:
    """What the docstring of a class says about each of its arguments, with a capital letter."""
    text = inspect.getdoc(documented) or ""
    entries = re.findall(r"^    (\w+): (.+(?:\n {8}.+)*)", text, re.MULTILINE)
    return {name: " ".join(f"{said[0].upper()}{said[1:]}".split()) for name, said in entries}
