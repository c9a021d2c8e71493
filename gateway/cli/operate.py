"""`serve`, `init`, `check`, `migrate`: what somebody needs who runs a gateway."""

import asyncio
import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli import show
from gateway.cli.client import GatewayError, program

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.owners import Role

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
    role: Annotated[
        list[str] | None,
        typer.Option(help="What this process does: all, or some of api, smpp, voice, core."),
    ] = None,
    data: show.Data = show.DATA,
) -> None:
    """Run the gateway until SIGTERM or Ctrl-C; a second signal ends it at once."""
    gc.disable()  # all that is imported stays: looking through it takes a sixth of the start
    from gateway import process

    gc.freeze()
    gc.enable()
    roles = _roles(role or ["all"])
    found = load(config)
    if roles != process.EVERY_ROLE and not found.store.url:
        raise GatewayError(
            "some roles alone need a store that processes share: set [store] url to a PostgreSQL,"
            " or leave --role out"
        )
    raise typer.Exit(process.run(found, data, roles, lambda: _read(config)))


def _roles(given: list[str]) -> "frozenset[Role]":
    """The roles of `--role api --role smpp`, or `--role api,smpp`."""
    from gateway.owners import EVERY_ROLE, Role

    names = [name.strip() for each in given for name in each.split(",")]
    known = [role.value for role in Role]
    for name in names:
        if name not in (*known, "all"):
            raise GatewayError(f"--role {name}: there is no such role; all, or {', '.join(known)}")
    return EVERY_ROLE if "all" in names else frozenset(map(Role, names))


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
    from gateway import consistency

    found = load(config)
    carriers = ", ".join(f"{carrier.name} ({carrier.kind})" for carrier in found.carriers)
    listening = show.plain("; ".join(_listening(found)))
    calls = show.plain("; ".join(_calls(found)) or "not listened for")
    show.line(f"[green]The config is right.[/] Listening: {listening}.")
    show.line(f"Calls: {calls}.")
    show.line(f"Carriers: {show.plain(carriers)}. Routes: {len(found.routes)}.")
    show.line(
        f"Numbers: {len(found.numbers) or 'none in it'}. Customers: {len(found.customers)}."
        f" Domains: {len(found.domains)}."
    )
    for each in (*consistency.notes(found), *consistency.voiceless(found)):
        show.line(f"[yellow]Note:[/] {show.plain(each)}.")


def _listening(config: "Config") -> Iterator[str]:
    """What is listened for, and where."""
    http = config.http
    for what, address in (
        ("HTTP", http.listen),
        ("HTTPS", http.tls_listen),
        ("SMPP", config.smpp.listen),
    ):
        if address is not None:
            yield f"{what} on {address}"


def _calls(config: "Config") -> Iterator[str]:
    """Where calls come in, and how many ports there are for their sound."""
    from gateway.consistency import legs

    sip = config.sip
    for what, addresses in (("UDP", sip.udp), ("TCP", sip.tcp), ("TLS", sip.tls)):
        if addresses:
            yield f"{what} on {', '.join(map(str, addresses))}"
    if sip.udp or sip.tcp or sip.tls:
        first, last = config.rtp.ports
        yield f"RTP on {config.rtp.listen}, ports {first}-{last} for {legs(config.rtp)} legs"


def migrate(config: ConfigFile = None, data: show.Data = show.DATA) -> None:
    """Bring the store to this version's schema; `serve` does so by itself."""
    from gateway import daemon
    from gateway.store.base import StoreError

    found = load(config)
    try:
        applied = asyncio.run(daemon.migrate(found, data))
    except StoreError as error:
        raise GatewayError(str(error)) from None
    steps = ", ".join(applied) if applied else "nothing, it was up to date"
    where = show.plain("at [store] url" if found.store.url else f"in {data}")
    show.line(f"The store {where}: applied {show.plain(steps)}.")


def _read(path: Path | None) -> "Config":
    """The config of the file that is named, or that is there; raises `ConfigError`."""
    from gateway.config import FILE_NAME, load

    if path is None and Path(FILE_NAME).exists():
        path = Path(FILE_NAME)
    return load(path, os.environ)


def load(path: Path | None) -> "Config":
    """The config of the file that is named, or that is there; says all that is wrong with it."""
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
