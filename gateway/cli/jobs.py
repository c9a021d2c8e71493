"""`jobs list|replay`: what is still to be done for the account, and what was given up, again."""

from typing import Annotated, Any, Final

import typer

from gateway.cli import show
from gateway.cli.client import Gateway, GatewayError, program

_AT_ONCE: Final = 1000  # ids in one request

commands = typer.Typer(no_args_is_help=True, help="Callbacks and deliveries that are to be made.")


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.add_typer(commands, name="jobs")


@commands.command("list")
def list_(
    state: Annotated[
        list[str] | None,
        typer.Option(
            help="available, awaiting_retry, succeeded, discarded, expired, archived or replayed;"
            " may be repeated. Default: what is still to be done."
        ),
    ] = None,
    endpoint: Annotated[str | None, typer.Option(help="Only jobs of this endpoint.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 20,
    json: show.AsJson = False,
    data: show.Data = show.DATA,
) -> None:
    """The newest jobs, and how the queues stand."""
    gateway = Gateway.find(data)
    found = _page(gateway, state or [], endpoint, limit)
    if json:
        show.as_json(found)
        return
    if found["queues"]:
        show.table(
            ("ENDPOINT", "WAITING", "RUNNING", "RETRYING", "CIRCUIT"),
            [_queue_row(queue) for queue in found["queues"]],
        )
        show.line("")
    titles = ("JOB", "CREATED", "KIND", "STATE", "TRIES", "ABOUT", "ENDPOINT", "NOTE")
    show.table(titles, [_job_row(job) for job in found["jobs"]])


def _page(gateway: Gateway, states: list[str], endpoint: str | None, limit: int) -> dict[str, Any]:
    """The newest jobs; pages may be short, for the gateway looks at so many rows for each."""
    jobs: list[dict[str, Any]] = []
    before: str | None = None
    while True:
        found: dict[str, Any] = gateway.get(
            "/v1/jobs",
            state=states,
            endpoint=endpoint,
            limit=limit - len(jobs),
            before=before,
        )
        jobs += found["jobs"]
        before = found["next"]
        if before is None or len(jobs) >= limit:
            return {**found, "jobs": jobs}


def _queue_row(queue: dict[str, Any]) -> tuple[str, ...]:
    circuit = show.state(queue["circuit"])
    if queue["probe_at"]:
        circuit += f", tried at {show.plain(queue['probe_at'])}"
    more = "+" if queue["more"] else ""
    return (
        show.plain(queue["endpoint"]),
        f"{queue['waiting']}{more}",
        str(queue["running"]),
        str(queue["retrying"]),
        circuit,
    )


def _job_row(job: dict[str, Any]) -> tuple[str, ...]:
    state = show.state(job["state"])
    if job["retry_at"]:
        state += f" at {show.plain(job['retry_at'])}"
    return (
        job["id"],
        show.plain(job["created_at"] or ""),
        show.plain(job["kind"]),
        state,
        str(job["attempts"]),
        show.plain(job["sid"]),
        show.plain(job["endpoint"]),
        show.plain(show.clipped(job["note"])),
    )


@commands.command()
def replay(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID…", help="Jobs.")] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="Instead: all that was given up of this endpoint.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="With --endpoint: made then or later; default: a day ago.")
    ] = None,
    data: show.Data = show.DATA,
) -> None:
    """Make jobs again that have ended, from the store or from the archive.

    Each becomes a new job with the same content and an idempotency token of its own, so that a
    receiver that knows the old one does not drop it. Exit status 1 if one of IDs is no job.
    """
    if bool(ids) is bool(endpoint):
        raise GatewayError(f"say which: {program()} jobs replay ID…, or --endpoint URL")
    gateway = Gateway.find(data)
    unknown: list[str] = []
    for at in range(0, len(ids or []), _AT_ONCE):
        found = gateway.post("/v1/jobs/replay", id=(ids or [])[at : at + _AT_ONCE])
        unknown += _print_replayed(found)
    after: str | None = None
    nothing = True
    while endpoint:
        found = gateway.post("/v1/jobs/replay", endpoint=endpoint, since=since, after=after)
        _print_replayed(found)
        nothing = nothing and not found["replayed"]
        after = found["next"]
        if after is None:
            break
    if endpoint and nothing:
        show.line(f"Nothing was given up for {show.plain(endpoint)} since {since or 'a day ago'}.")
    if unknown:
        raise GatewayError(f"no jobs of this account: {', '.join(unknown)}")


def _print_replayed(found: dict[str, Any]) -> list[str]:
    for each in found["replayed"]:
        show.line(f"{each['replay_of']} again as {each['id']}")
    for job_id in found["open"]:
        show.line(f"{job_id} is still to be tried")
    unknown: list[str] = found["unknown"]
    return unknown
