"""The command `trunkline`: starts the gateway, checks its config, and asks a running one.

Only `serve`, `migrate` and `restore` touch the store; everything else is a REST client, as any
client would be. What a command needs is imported when it runs, so that `--help` and the small
ones answer at once.
"""

import sys

import typer

from gateway.cli import (
    backup,
    bus,
    calls,
    carriers,
    clients,
    events,
    explain,
    jobs,
    keys,
    messages,
    operate,
    phones,
    simulate,
    token,
    tracking,
)
from gateway.cli.client import GatewayError

app = typer.Typer(
    name="trunkline",
    help="A telecom gateway you run yourself: SMPP and SIP outside, Twilio's API inside.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
operate.register(app)
messages.register(app)
explain.register(app)
calls.register(app)
carriers.register(app)
phones.register(app)
clients.register(app)
token.register(app)
keys.register(app)
bus.register(app)
jobs.register(app)
simulate.register(app)
events.register(app)
backup.register(app)
tracking.register(app)


def main() -> None:
    """Run the command line; what a person can mend is said in one line, with exit status 1."""
    try:
        app()
    except GatewayError as error:
        print(f"trunkline: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # `trunkline messages list | head`
        sys.stderr.close()
        sys.exit(0)
