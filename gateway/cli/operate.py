"""`serve`, `init`, `check`, `migrate`: what somebody needs who runs a gateway."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli import show
from gateway.cli.client import GatewayError, program

if TYPE_CHECKING:
    from gateway.config import Config

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        envvar="TRUNKLINE_CONFIG",
        help="The config file; default: trunkline.toml here, if it is there.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    for command in (serve, init, check, migrate):
        app.command()(command)


def serve(
    config: ConfigFile = None,
    role: Annotated[str, typer.Option(help="What this process does; only all so far.")] = "all",
    data: show.Data = show.DATA,
) -> None:
    """Run the gateway until SIGTERM or Ctrl-C; a second signal ends it at once."""
    if role != "all":
        raise GatewayError(
            f"--role {role} needs a store that processes share, which comes with a later version;"
            " leave --role out"
        )
    found = _load(config)
    from gateway import process

    raise typer.Exit(process.run(found, data, lambda: _read(config)))


def init(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("trunkline.toml"),
) -> None:
    """Write a commented config file with every key at its default."""
    from gateway.config import FILE_NAME
    from gateway.sample import sample

    try:
        with path.open("x") as file:
            file.write(sample())
    except FileExistsError:
        raise GatewayError(
            f"{path} is there already and stays as it is; name another: {program()} init PATH"
        ) from None
    except OSError as error:
        raise GatewayError(f"{path} can't be written: {error.strerror}") from None
    me = program()
    named = "" if path == Path(FILE_NAME) else f" --config {path}"
    then = show.plain(f"{me} check{named} && {me} serve{named}")
    show.line(f"{show.plain(path)} is written; change it, then: {then}")


def check(config: ConfigFile = None) -> None:
    """Say what is wrong with the config, and what would be right."""
    found = _load(config)
    listening = [
        f"{what} on {where}"
        for what, where in (
            ("HTTP", found.http.listen),
            ("HTTPS", found.http.tls_listen),
            ("SMPP", found.smpp.listen),
        )
        if where is not None
    ]
    carriers = ", ".join(f"{carrier.name} ({carrier.kind})" for carrier in found.carriers)
    show.line(f"[green]The config is right.[/] Listening: {show.plain('; '.join(listening))}.")
    show.line(f"Carriers: {show.plain(carriers)}. Routes: {len(found.routes)}.")
    show.line(f"Numbers: {len(found.numbers)}. Customers: {len(found.customers)}.")


def migrate(data: show.Data = show.DATA) -> None:
    """Bring the store of the data folder to this version's schema; `serve` does so by itself."""
    from gateway import daemon
    from gateway.store.base import StoreError

    try:
        applied = daemon.migrate(data)
    except StoreError as error:
        raise GatewayError(str(error)) from None
    steps = ", ".join(applied) if applied else "nothing, it was up to date"
    show.line(f"The store in {show.plain(data)}: applied {show.plain(steps)}.")


def _read(path: Path | None) -> "Config":
    """The config of the file that is named, or that is there; raises `ConfigError`."""
    from gateway.config import FILE_NAME, load

    if path is None and Path(FILE_NAME).exists():
        path = Path(FILE_NAME)
    return load(path, os.environ)


def _load(path: Path | None) -> "Config":
    from gateway.config import ConfigError

    try:
        return _read(path)
    except ConfigError as error:
        for finding in error.findings:
            typer.echo(str(finding), err=True)
        count = len(error.findings)
        raise GatewayError(
            f"the config can't be used: {count} finding{'s' if count > 1 else ''}"
        ) from None
