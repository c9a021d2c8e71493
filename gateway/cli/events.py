"""`tail`: what happens, as it happens."""

import sys
import time
from typing import Annotated, Any, Final

import typer

from gateway.cli import show
from gateway.cli.client import ConnectionLost, Gateway, GatewayError

_AGAIN_AFTER: Final = 1.0  # seconds


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(tail)


def tail(
    after: Annotated[str, typer.Option(help="Begin after the event with this id.")] = "",
    json: show.AsJson = False,
    data: show.Data = show.DATA,
) -> None:
    """Print events until Ctrl-C; a restart of the gateway is waited for, nothing is missed."""
    gateway = Gateway.find(data)
    while True:
        try:
            for event_id, event in gateway.events(after):
                _print(event, json)
                after = event_id
        except ConnectionLost as error:
            print(f"{error}; waiting for it", file=sys.stderr)
            gateway = _found_again(gateway, data)


def _found_again(gateway: Gateway, data: show.Data) -> Gateway:
    # After a restart it may listen on another port.
    while True:
        time.sleep(_AGAIN_AFTER)
        try:
            gateway = Gateway.find(data)
            gateway.get("/v1/carriers")
        except GatewayError:
            continue
        return gateway


def _print(event: dict[str, Any], as_json: bool) -> None:
    if as_json:
        show.as_json(event)
        return
    about = " ".join(
        f"{show.plain(name)}={show.plain(value)}" for name, value in event["data"].items()
    )
    show.line(
        f"[dim]{show.plain(event['at'])}[/] {event['sid']} [bold]{show.plain(event['type'])}[/]"
        f" [dim]{about}[/]"
    )
