"""`tracking rebuild`: the counters are made again from the facts that are kept."""

import typer

from gateway.cli import show
from gateway.cli.client import Gateway

commands = typer.Typer(no_args_is_help=True, help="What the facts come to, by day.")


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.add_typer(commands, name="tracking")


@commands.callback()
def _group() -> None:
    """A group even while there is one command in it."""


@commands.command()
def rebuild(
    yes: bool = typer.Option(False, "--yes", help="Do not ask."), data: show.Data = show.DATA
) -> None:
    """Throw the counters of all accounts away and count again every fact that is kept.

    Counts of days whose facts are no longer kept ([store] facts_for; on Kafka 7 days) are gone
    afterwards.
    """
    gateway = Gateway.find(data)
    if not yes:
        typer.confirm(
            "Counts of days whose facts are no longer kept will be gone. Go on?", abort=True
        )
    found = gateway.post("/v1/tracking/rebuild")
    show.line(
        f"At most {found['facts']} facts are counted again; `trunkline bus status` says how many"
        " the reader tracking has still to read."
    )
