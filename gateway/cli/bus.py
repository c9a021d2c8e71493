"""`bus status`: which cluster is written to and why, and who is how far behind."""

from typing import Any

import typer

from gateway.cli import show
from gateway.cli.client import Gateway

_NUMBERS = ("partition", "sent", "copied")

commands = typer.Typer(no_args_is_help=True, help="How facts come to their readers.")


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.add_typer(commands, name="bus")


@commands.command()
def status(json: show.AsJson = False, data: show.Data = show.DATA) -> None:
    """Which cluster is active and why, its health, the backlog, and how far readers are."""
    found = Gateway.find(data).get("/v1/bus")
    if json:
        show.as_json(found)
        return
    _print_head(found)
    if found["clusters"]:
        show.table(
            ("CLUSTER", "STATE", "SINCE", "P99", "ERRORS", "BROKERS", "REASON"),
            [_cluster(each, found["forwarder"]["active"]) for each in found["clusters"]],
        )
    behind = [each for each in found["partitions"] if each["copied"] < each["sent"]]
    if behind:
        show.line(f"Dedup has still to copy in {len(behind)} partitions:")
        show.table(
            ("TOPIC", "PARTITION", "SENT UP TO", "COPIED UP TO"),
            [
                (show.plain(each["topic"]), *(str(each[name]) for name in _NUMBERS))
                for each in behind
            ],
        )
    show.table(
        ("READER", "BEHIND"),
        [(show.plain(each["name"]), str(each["behind"])) for each in found["readers"]],
    )


def _print_head(found: dict[str, Any]) -> None:
    if found["kind"] == "embedded":
        show.line(f"The bus is embedded: at most {found['kept']} facts are kept in the store.")
        return
    forwarder = found["forwarder"]
    show.line(
        f"The bus is Kafka. Facts are there up to {found['cursor']} of {found['newest']}:"
        f" {found['backlog']} wait."
    )
    if forwarder is None or forwarder["silent"]:
        said = (
            "never said anything" if forwarder is None else f"was last heard of {forwarder['at']}"
        )
        show.line(f"[red]No forwarder runs[/]: one {said}. A process with the role core has it.")
    if forwarder is not None:
        reason = f": {show.plain(forwarder['reason'])}" if forwarder["reason"] else ""
        show.line(
            f"Written to [bold]{show.plain(forwarder['active'])}[/]"
            f" since {show.plain(forwarder['since'])}{reason}."
        )
        if forwarder["skipped"]:
            show.line(
                f"[red]{forwarder['skipped']} facts could not be sent[/]; the log names them."
            )


def _cluster(each: dict[str, Any], active: str) -> tuple[str, ...]:
    name = show.plain(each["name"])
    return (
        f"[bold]{name}[/]" if each["name"] == active else name,
        show.state(each["state"]),
        show.plain(each["since"]),
        f"{each['p99'] * 1000:.0f} ms",
        f"{each['errors']:.0%}",
        show.plain(", ".join(each["brokers"])),
        show.plain(each["reason"]),
    )
