"""The command `memenc`: its table of commands, and what all of them share."""

from __future__ import annotations

from typing import Annotated

import typer
from transformers.utils import logging

from memenc.cli import console
from memenc.cli.compare import compare
from memenc.cli.demo import demo
from memenc.cli.doctor import doctor
from memenc.cli.encode import encode
from memenc.cli.errors import UserErrors
from memenc.cli.evaluate import evaluate
from memenc.cli.predict import predict
from memenc.cli.pretrain import pretrain
from memenc.cli.probe import probe
from memenc.cli.train import train
from memenc.memory.outside import import_modules
from memenc.storage.results import memenc_version

app = typer.Typer(
    name="memenc",
    cls=UserErrors,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def show_version(asked: bool) -> None:
    """Print the version and stop."""
    if asked:
        console.out().print(f"memenc {memenc_version()}", highlight=False)
        raise typer.Exit


@app.callback()
def shared(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and stop.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", envvar="MEMENC_DEBUG", help="Show where an error comes from (a traceback).")
    ] = False,
    imports: Annotated[
        list[str] | None,
        typer.Option("--import", metavar="MODULE", help="Import a module that registers memories; may be repeated."),
    ] = None,
) -> None:
    """Read documents of any length with the encoder you already use.

    Start with [bold]memenc doctor[/bold] (what is installed) and [bold]memenc demo[/bold] (the whole way, offline).
    """
    if not debug:
        logging.set_verbosity_error()
        logging.disable_progress_bar()
    import_modules(imports or ())


for command in (pretrain, train, evaluate, predict, encode, compare, probe, doctor, demo):
    app.command()(command)
