"""Values against the declared fields of a dataclass: what is of another type is refused, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from memenc.config import python_values

SAID = {int: "a whole number", float: "a number", bool: "true or false", str: "text", tuple: "a list", NoneType: "null"}


def typed(kind: type, values: Any, where: str) -> dict[str, Any]:
    """The values as a dataclass wants them: lists as tuples, and `5e-4`, which YAML takes for text, as a number.

    Raises:
        ValueError: no mapping, a key that is no field, one that is needed and missing, or a value of another type.
    """
    names = [each.name for each in fields(kind)]
    if not isinstance(values, Mapping):
        raise ValueError(f"{where}: received {values!r}; give a mapping with {', '.join(names)}")
    unknown = sorted(map(str, set(values) - set(names)))
    if unknown:
        raise ValueError(f"{where}: unknown {', '.join(unknown)}; known are {', '.join(names)}")
    needed = [each.name for each in fields(kind) if each.default is MISSING and each.default_factory is MISSING]
    missing = [name for name in needed if name not in values]
    if missing:
        raise ValueError(f"{where}: {', '.join(missing)} missing")
    hints = get_type_hints(kind)
    return {name: _fitting(value, hints[name], f"{where}: {name}") for name, value in values.items()}


def check_types(made: Any, where: str) -> None:
    """Refuse fields of a dataclass that hold another type than they declare; whole numbers are numbers, NumPy's too.

    Raises:
        ValueError: there is one.
    """
    hints = get_type_hints(type(made))
    for field in fields(made):
        value, kinds = python_values(getattr(made, field.name)), _kinds(hints[field.name])
        if not (float in kinds and type(value) is int):
            _refuse_others(value, kinds, f"{where} {field.name}")


def in_range(where: str, values: Mapping[str, Any], least: float, open_below: bool = False) -> None:
    """Refuse a number below the least, or at it where the range is open; None is left alone.

    Raises:
        ValueError: there is one.
    """
    for name, value in values.items():
        if value is not None and (value < least or (open_below and value == least)):
            raise ValueError(f"{where}: {name}={value}; give {'more than' if open_below else 'at least'} {least:g}")


def _fitting(value: Any, hint: Any, where: str) -> Any:
    kinds = _kinds(hint)
    if isinstance(value, list) and tuple in kinds:
        return tuple(value)
    if float in kinds and isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            pass
    if float in kinds and type(value) is int:
        return float(value)
    _refuse_others(value, kinds, where)
    return value


def _kinds(hint: Any) -> list[Any]:
    """The types that a field may have."""
    return [get_origin(each) or each for each in (get_args(hint) if isinstance(hint, UnionType) else (hint,))]


def _refuse_others(value: Any, kinds: list[Any], where: str) -> None:
    # Types that have no word, such as mappings and choices, are looked at by whoever declares them.
    if all(kind in SAID for kind in kinds) and type(value) not in kinds:
        raise ValueError(f"{where}={value!r}; give {' or '.join(SAID[kind] for kind in kinds)}")
