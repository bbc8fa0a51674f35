"""The command line: parse, call, print. An error that the user can fix ends in a line or two on standard error.

`zoo.cli.exit_codes` lists the exit codes.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import Any

import click

from targets.signals import ending_as_by_ctrl_c
from zoo import __version__
from zoo.building.launch import launched_here
from zoo.cli.add import add
from zoo.cli.bench import bench
from zoo.cli.build import build
from zoo.cli.bundles import compile_, receive
from zoo.cli.check import check
from zoo.cli.clean import clean
from zoo.cli.compare import compare, diff, search
from zoo.cli.data import data
from zoo.cli.doctor import doctor
from zoo.cli.exit_codes import INTERRUPTED, LOST, MEND
from zoo.cli.export import export
from zoo.cli.index import index
from zoo.cli.migrate import migrate
from zoo.cli.options import begin_events
from zoo.cli.registry import gc, publish, pull, verify, yank
from zoo.cli.releases import list_releases, show
from zoo.cli.samples import samples
from zoo.cli.script import script
from zoo.cli.serve import serve
from zoo.cli.site import site
from zoo.cli.streams import ending_unread, prepare, refuses, silence
from zoo.cli.use import embed, query
from zoo.cli.verbose import verbose
from zoo.cli.weights import weights
from zoo.errors import ZooError
from zoo.sanitize import printable, without_secrets

RESUMED = ("build", "add", "publish", "pull")


def _told(message: str, exit_code: int) -> int:
    """Report the end to a script that follows events, unless a launcher does; return the exit code."""
    told = script()
    if told and not (exit_code == LOST and launched_here()):
        told.error(message, exit_code)
    return exit_code


class _Commands(click.Group):
    """Turns errors that a user can fix into a message and an exit code."""

    def list_commands(self, _: click.Context) -> list[str]:
        """In the order of use."""
        return [*self.commands]

    def main(self, *arguments: Any, **more: Any) -> Any:
        """Run, whatever the state of standard output and error, and however it is ended."""
        prepare()
        with ending_as_by_ctrl_c(), ending_unread():
            return super().main(*arguments, **more)

    def make_context(self, *arguments: Any, **more: Any) -> click.Context:
        """Parse the command line, or print help."""
        with ending_unread():
            return super().make_context(*arguments, **more)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, and report errors that the user can fix."""
        with ending_unread():
            return self._invoke(ctx)

    def _invoke(self, ctx: click.Context) -> Any:
        events = "--events" in ctx.args
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except ZooError as error:
            prefix = click.style("Error:", fg=None if os.environ.get("NO_COLOR") else "red")
            message = without_secrets(printable(str(error)))
            click.echo(f"{prefix} {message}", err=True)
            sys.exit(_told(message, error.exit_code))
        except KeyboardInterrupt:
            kept = "Finished work is kept; run the command again to continue."
            message = "Interrupted. " + kept if ctx.invoked_subcommand in RESUMED else "Interrupted."
            click.echo(message, err=True)
            sys.exit(_told(message, INTERRUPTED))
        except (click.exceptions.Exit, click.Abort):
            raise
        except click.ClickException as error:
            if events and not script():  # the options were not all parsed
                begin_events(ctx)
            _told(error.format_message(), error.exit_code)
            raise
        except BrokenPipeError:
            raise
        except OSError as error:
            refused = refuses(sys.__stdout__)
            if error.errno != errno.ENOSPC and not refused:
                raise
            silence(sys.__stdout__)  # it would fail again at exit
            why = f"can't write to standard output: {refused}. Redirect it elsewhere."
            if error.errno == errno.ENOSPC:
                why = "no space left on the disk. Free some space and run the command again."
            click.echo(f"Error: {why}", err=True)
            sys.exit(MEND)
        except Exception as error:
            _told(f"{type(error).__name__}: {error}", MEND)  # a bug of ours: the traceback follows
            raise


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="zoo")
@verbose
def main() -> None:
    """Build compressed image-retrieval models and measure them on devices.

    Models, data sets and targets are defined in zoo.yaml: the nearest one from this folder upwards, or ZOO_CATALOGUE,
    on top of the shipped one. zoo writes to .zoo beside it, or to ZOO_HOME.
    """


for command in (
    build, add, data, weights, bench, check, list_releases, show, compare, search, diff, site, embed, index, query,
    serve, export, samples, compile_, receive, doctor, publish, pull, verify, yank, gc, migrate, clean,
):  # fmt: skip
    main.add_command(verbose(command))
