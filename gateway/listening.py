"""Whether the ports that the config names are free, and which they are in the end."""

import errno
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from gateway.config import Config
from gateway.forms import Address
from gateway.owners import Role

_SHIFTED: Final = 1  # to the port that is proposed
_LISTED: Final = frozenset({"sip"})  # sections whose addresses are lists


class ListenError(Exception):
    """An address of the config can't be listened on; the text names its key and the remedy."""


def check(config: Config, roles: frozenset[Role]) -> None:
    """Raise `ListenError` for the addresses of these roles that are not free now."""
    found = [each for each in map(_refused, _addresses(config, roles)) if each]
    if found:
        raise ListenError("\n  ".join(found))


_Place = tuple[str, str, Address, int]  # section, key, and what kind of socket


def _addresses(config: Config, roles: frozenset[Role]) -> Iterator[_Place]:
    smpp = config.smpp.listen if Role.SMPP in roles else None
    for section, key, address in (
        ("http", "listen", config.http.listen),
        ("http", "tls_listen", config.http.tls_listen),
        ("smpp", "listen", smpp),
    ):
        if address is not None:
            yield section, key, address, socket.SOCK_STREAM
    if Role.VOICE in roles:
        for key, kind, addresses in (
            ("udp", socket.SOCK_DGRAM, config.sip.udp),
            ("tcp", socket.SOCK_STREAM, config.sip.tcp),
            ("tls", socket.SOCK_STREAM, config.sip.tls),
        ):
            for address in addresses:
                yield "sip", key, address, kind


def _refused(place: _Place) -> str:
    """Why an address can't be listened on; empty if it can."""
    section, key, address, kind = place
    try:
        with explained(section, key, address):
            _try(address, kind)
    except ListenError as error:
        return str(error)
    return ""


@contextmanager
def explained(section: str, key: str, address: Address) -> Iterator[None]:
    """An OSError of listening on `address` becomes a `ListenError`."""
    try:
        yield
    except OSError as error:
        # asyncio puts the reason into a sentence of its own.
        number = error.errno or 0
        reason = os.strerror(number) if number > 0 else str(error)
        where, remedy = f"[{section}] {key} {address}", "choose another"
        said = f"{where} can't be listened on: {reason}"
        if number == errno.EADDRINUSE:
            said, remedy = f"{where} is taken by another program", "stop it, or choose another"
        variable = f"TRUNKLINE_{section}__{key}".upper()
        proposed = str(Address(address.host, address.port % 65535 + _SHIFTED))
        if section in _LISTED:
            proposed = f"'[\"{proposed}\"]'"
        raise ListenError(f"{said}; {remedy}: {variable}={proposed}") from None


def _try(address: Address, kind: int) -> None:
    family, kind, protocol, _, where = socket.getaddrinfo(
        address.host, address.port, type=kind, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, protocol) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the listeners will
        probe.bind(where)
        if kind == socket.SOCK_STREAM:
            probe.listen()


def write_ports(file: Path, ports: Mapping[str, int]) -> None:
    """Say in `file` where is listened, all of it at once."""
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(ports) + "\n")
    fresh.replace(file)
