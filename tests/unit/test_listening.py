"""Addresses that can't be listened on: found before anything starts, with the remedy."""

import socket

import pytest

from gateway import listening
from gateway.config import Config
from gateway.forms import Address
from gateway.owners import EVERY_ROLE, Role
from gateway.sections import Http, Sip, Smpp


def config(http: Address | None, smpp: Address | None) -> Config:
    """A config that listens there and nowhere else."""
    return Config(http=Http(listen=http), smpp=Smpp(listen=smpp), sip=Sip(udp=(), tcp=()))


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_taken_port_of_sip_is_told_as_the_list_that_it_stands_in(kind: int) -> None:
    key = "udp" if kind == socket.SOCK_DGRAM else "tcp"
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        port = taken.getsockname()[1]
        sip = Sip(**{"udp": (), "tcp": (), key: (Address("127.0.0.1", port),)})
        given = Config(http=Http(listen=None), smpp=Smpp(listen=None), sip=sip)
        with pytest.raises(listening.ListenError) as error:
            listening.check(given, EVERY_ROLE)
        listening.check(given, EVERY_ROLE - {Role.VOICE})
    assert str(error.value) == (
        f"[sip] {key} 127.0.0.1:{port} is taken by another program; stop it, or choose another:"
        f" TRUNKLINE_SIP__{key.upper()}='[\"127.0.0.1:{port + 1}\"]'"
    )


@pytest.mark.parametrize("section", ["http", "smpp"])
def test_a_taken_port_names_its_key_and_the_remedy(section: str) -> None:
    free = Address("127.0.0.1", 0)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        address = Address("127.0.0.1", port)
        given = config(address, free) if section == "http" else config(free, address)
        with pytest.raises(listening.ListenError) as error:
            listening.check(given, EVERY_ROLE)
        if section == "smpp":
            listening.check(given, EVERY_ROLE - {Role.SMPP})  # which does not listen there
    assert str(error.value) == (
        f"[{section}] listen 127.0.0.1:{port} is taken by another program; stop it,"
        f" or choose another: TRUNKLINE_{section.upper()}__LISTEN=127.0.0.1:{port + 1}"
    )
    listening.check(given, EVERY_ROLE)  # it is free now


def test_all_taken_ports_are_told_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("", 0)) as other:
        ports = [each.getsockname()[1] for each in (one, other)]
        given = config(*(Address("127.0.0.1", each) for each in ports))
        with pytest.raises(listening.ListenError) as error:
            listening.check(given, EVERY_ROLE)
    assert [line.split()[:3] for line in str(error.value).split("\n")] == [
        ["[http]", "listen", f"127.0.0.1:{ports[0]}"],
        ["[smpp]", "listen", f"127.0.0.1:{ports[1]}"],
    ]


def test_an_address_of_another_machine_is_refused_in_words() -> None:
    with pytest.raises(listening.ListenError, match="can't be listened on: Cannot assign"):
        listening.check(config(Address("192.0.2.1", 8080), None), EVERY_ROLE)
    listening.check(config(None, None), EVERY_ROLE)
