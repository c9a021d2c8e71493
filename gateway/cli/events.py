"""`tail`: what happens, as it happens."""

import sys
import time
from typing import Annotated, Any, Final

import typer

from gateway.cli import notices, show
from gateway.cli.client import ConnectionLost, Gateway, GatewayError, segment

_AGAIN_AFTER: Final = 1.0  # seconds
_NOTIFICATION: Final = "notification.created"


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
    gateway.get("/v1/carriers")  # whether it is there, and lets us in
    print("waiting for events; Ctrl-C ends it", file=sys.stderr)
    while True:
        try:
            for event_id, event in gateway.events(after):
                _print(event, json)
                if event["type"] == _NOTIFICATION and not json:
                    _print_note(gateway, event["data"].get("notification", ""))
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


def _print_note(gateway: Gateway, sid: str) -> None:
    """What a notification says: facts hold its code alone."""
    try:
        noted = gateway.get(f"{gateway.account_path}/Notifications/{segment(sid)}.json")
    except GatewayError:  # it went with its call, or the gateway with it
        return
    show.console().print(f"    {notices.told(noted)}", soft_wrap=True)


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
