"""``fashion-cascade probe``: whether a worker on this machine lives, is ready, has started."""

from __future__ import annotations

import click

from worker.errors import ExitCode
from worker.probes.state import PROBES, SILENCE_SECONDS, State, default_name, state_folder


@click.command()
@click.argument("question", type=click.Choice(list(PROBES)))
@click.option("--name", metavar="NAME", show_default="worker@HOST", help="Name of the worker.")
@click.option(
    "--silence",
    type=click.FloatRange(1),
    default=SILENCE_SECONDS,
    metavar="SECONDS",
    help="How long a process may touch nothing.",
)
def command(question: str, name: str | None, silence: float) -> None:
    """Ask whether a worker on this machine is live, ready or past its startup.

    live: its main process and each process of its pool turn, with or without broker and work.
    startup: it is live, and the first process of the pool has its networks.
    ready: that, and broker and catalogue answer.

    No is exit code 1 with the reason in one line. The answer comes from files in the temporary
    directory that the worker's processes touch; nothing is asked over the network. The worker and
    the probe need the same user and TMPDIR.

    \b
    Example:
      fashion-cascade probe live
    """
    own_host = default_name().partition("@")[2]
    full = default_name() if name is None else name if "@" in name else f"{name}@{own_host}"
    trouble = PROBES[question](State(state_folder(full), silence))
    if trouble:
        click.echo(f"fashion-cascade: not {question}: {trouble}", err=True)
        raise click.exceptions.Exit(ExitCode.FAILED)
    click.echo(question)
