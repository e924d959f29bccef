"""Errors of the user as one red line; every other error keeps its traceback."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from memenc.cli.console import note


class UserErrors(TyperGroup):
    """The group of all commands: ValueError and OSError become one line and exit code 1, unless --debug is given."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take --debug and --import wherever they stand, also behind the command."""
        return super().parse_args(ctx, shared_first(args))

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except (ValueError, OSError) as error:
            if ctx.params.get("debug"):
                raise
            note(f"error: {one_line(error)}", style="bold red")
            raise typer.Exit(1) from error


def shared_first(args: list[str]) -> list[str]:
    """The same arguments with those in front that all commands share."""
    shared, rest, left = [], [], iter(args)
    for argument in left:
        if argument == "--debug" or argument.startswith("--import="):
            shared.append(argument)
        elif argument == "--import" and (module := next(left, None)) is not None:
            shared += [argument, module]
        else:
            rest.append(argument)
    return [*shared, *rest]


def one_line(error: Exception) -> str:
    """The message of an error without its line breaks."""
    return " ".join(str(error).split()) or type(error).__name__
