"""The command line: parse, call, print. What a user can mend ends in a line or two on standard error.

Exit codes: 0 done, 1 something to mend, 2 wrong usage, 3 another process of the build ended, 130 interrupted.
"""

from __future__ import annotations

import sys
from typing import Any

import click

from calibration.errors import CalibrationError
from pipeline.errors import PipelineError
from targets.errors import TargetError
from zoo import __version__
from zoo.cli.build import build
from zoo.cli.compare import compare, diff, search
from zoo.cli.device import compile_, receive
from zoo.cli.doctor import doctor
from zoo.cli.registry import gc, publish, pull, verify, yank
from zoo.cli.releases import list_releases, show
from zoo.cli.use import embed, query
from zoo.errors import ZooError


class _Commands(click.Group):
    """Turns errors that a user can mend into a message and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (ZooError, PipelineError, CalibrationError, TargetError) as error:
            click.echo(f"{click.style('Error:', fg='red')} {error}", err=True)
            sys.exit(error.exit_code if isinstance(error, PipelineError) else 1)
        except KeyboardInterrupt:
            click.echo("Interrupted. What was finished is kept; the same command goes on from there.", err=True)
            sys.exit(130)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="zoo")
def main() -> None:
    """Build compressed image-retrieval models and see what they are worth on a device.

    Models, data sets and targets stand in zoo.yaml: the nearest one from this folder upwards, or ZOO_CATALOGUE, on top
    of the shipped one. Everything zoo makes lies in .zoo beside it, or in ZOO_HOME.
    """


for command in (
    build, list_releases, show, compare, search, diff, embed, query, compile_, receive, doctor, publish, pull, verify,
    yank, gc,
):  # fmt: skip
    main.add_command(command)
