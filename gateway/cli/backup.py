"""`backup` and `restore`: everything the store holds, as one file, and back.

A backup comes from a running gateway, or from the data folder of one that has ended; a restore is
done while none runs.
"""

import asyncio
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from gateway.cli import show
from gateway.cli.client import Gateway, GatewayError
from gateway.cli.operate import ConfigFile, load

if TYPE_CHECKING:
    from gateway.backup.file import End

_FORM = "trunkline-%Y%m%dT%H%M%SZ.backup"
_UNFINISHED = ".unfinished"


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    for command in (backup, restore):
        app.command()(command)


def backup(
    file: Annotated[
        Path | None, typer.Argument(help="Where to write it; default: named by the time, here.")
    ] = None,
    data: show.Data = show.DATA,
) -> None:
    """Write everything the gateway has stored to a file, while traffic goes on.

    If none runs it is read from the database of the data folder.
    It holds tokens and texts: keep it as you would keep a password.
    """
    target = file or Path(datetime.now(UTC).strftime(_FORM))
    if target.exists():
        raise GatewayError(f"{target} is there already and stays as it is; name another")
    read = _source(data)
    unfinished = target.with_name(target.name + _UNFINISHED)
    began = time.monotonic()
    try:
        unfinished.unlink(missing_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        with os.fdopen(os.open(unfinished, flags, 0o600), "w+b") as opened:
            read(opened)
            opened.flush()
            os.fsync(opened.fileno())
            opened.seek(0)
            end = _checked(opened, target)
        unfinished.rename(target)
    except OSError as error:
        raise GatewayError(f"{target} can't be written: {error.strerror}") from None
    finally:
        unfinished.unlink(missing_ok=True)
    size, count = target.stat().st_size, sum(end.rows.values())
    seconds = time.monotonic() - began
    show.line(f"{show.plain(target)}: {count:,} rows, {size:,} octets, in {seconds:.1f} s.")


def _source(data: Path) -> Callable[[IO[bytes]], None]:
    """What writes the backup to a file."""
    from gateway.daemon import saving

    elsewhere = "TRUNKLINE_URL" in os.environ
    if elsewhere or (data / "ports.json").exists() or not saving.database_of(data).exists():
        gateway = Gateway.find(data)
        return lambda file: gateway.download("/v1/backup", file)
    show.line(f"No gateway runs on {show.plain(data)}: what it left there is read.")
    return lambda file: asyncio.run(_read(data, file))


async def _read(data: Path, file: IO[bytes]) -> None:
    from gateway.daemon import saving
    from gateway.store.base import StoreError

    try:
        async for octets in saving.octets(data):
            file.write(octets)
    except StoreError as error:
        raise GatewayError(str(error)) from None


def _checked(file: IO[bytes], target: Path) -> "End":
    """The end of a backup, which is there if all of it is."""
    from gateway.backup.file import End, Unusable, frames

    try:
        *_, last = (frame for frame in frames(file) if isinstance(frame, End))
    except Unusable as error:
        raise GatewayError(f"{target} is not written: what came is no backup: {error}") from None
    return last


def restore(
    file: Annotated[Path, typer.Argument(help="What `backup` wrote.")],
    config: ConfigFile = None,
    data: show.Data = show.DATA,
    in_flight: Annotated[
        str,
        typer.Option(
            help="Texts that were under way and may have left since: resend sends them, some for"
            " a second time; hold waits for their receipts; fail ends them with error 30008."
        ),
    ] = "resend",
    replace: Annotated[
        bool, typer.Option("--replace", help="Lose the messages that the store holds now.")
    ] = False,
) -> None:
    """Make a backup the store of the config, whole or not at all; no gateway may run on it.

    A backup of SQLite can be restored into PostgreSQL, and the other way round.
    """
    from gateway.backup.file import Unusable
    from gateway.backup.in_flight import InFlight
    from gateway.daemon.restoring import Order
    from gateway.daemon.restoring import restore as do
    from gateway.store.base import StoreError

    choices = [each.value for each in InFlight]
    if in_flight not in choices:
        raise GatewayError(f"--in-flight {in_flight}: there is {', '.join(choices)}")
    found = load(config)
    order = Order(
        file=file,
        in_flight=InFlight(in_flight),
        may_replace=lambda: replace,
        now=time.time(),
    )
    try:
        done = asyncio.run(do(found, data, order))
    except (StoreError, Unusable) as error:
        raise GatewayError(str(error)) from None
    where = show.plain("at [store] url" if found.store.url else f"in {data}")
    made_at = datetime.fromtimestamp(done.made_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    show.line(f"The store {where} is as it was at {made_at}: {done.rows:,} rows.")
    show.line(f"{done.under_way:,} texts were under way: {in_flight}.")
    if done.short:
        show.line(
            "[yellow]The backup is old:[/] readers of events may have had ids that are given"
            f" again. Raise \\[bus] max_backlog by {2 * done.short:,}, then restore again with"
            " --replace."
        )
