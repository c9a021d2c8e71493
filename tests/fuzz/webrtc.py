"""Invariant: nothing that a browser writes, or anybody sends to its port, breaks a session of ICE.

More exactly, for any candidates and any datagrams, those among them that the peer's password made:

- nothing raises, not in a task either, and all tasks end with the session;
- each datagram is answered by at most one that is not much longer, checks of ours apart, and those
  go to few addresses, none of them impossible;
- nobody is found, and there are no keys, without an answer to a check of ours.
"""

import asyncio
import random
from typing import Any, Final

from aioice import stun

from protocols.rtp.events import Address
from protocols.sdp.ice import Fingerprint, IceSide, Setup
from protocols.sdp.media import Srtp
from protocols.webrtc import candidates
from protocols.webrtc.agent import MOST_SOURCES
from protocols.webrtc.endpoint import Endpoint

_LOCAL: Final = ("198.51.100.4", 20_000)
_HOSTS: Final = (
    "203.0.113.9", "10.0.0.7", "224.0.0.1", "0.0.0.0", "255.255.255.255", "127.0.0.1",
    "2001:db8::1", "fe80::1%eth0", "a.local", "peer.example", "", "1.2.3", "203.0.113.9 x",
)  # fmt: skip
_PORTS: Final = ("0", "1", "5000", "65535", "65536", "-1", "x", "9" * 30, "")
_NAMES: Final = ("USERNAME", "PRIORITY", "USE-CANDIDATE", "ICE-CONTROLLING", "ICE-CONTROLLED")
_ATTRIBUTES: Final = tuple(each[0] for each in stun.ATTRIBUTES)
_PASSWORD: Final = "w" * 22


class Watcher:
    """Who is not to be told of anything but losses."""

    def found(self, address: Address) -> None:
        raise AssertionError(f"found {address}")

    def keyed(self, keys: Srtp) -> None:
        raise AssertionError("keys")

    def lost(self, cause: str, reason: str) -> None: ...


def line(chance: random.Random) -> str:
    """A candidate, or nearly one."""
    words = [
        chance.choice(("1", "842163049", "")),
        chance.choice(("1", "2", "-1", "x")),
        chance.choice(("udp", "UDP", "tcp", "\ud800")),
        chance.choice(("2130706431", "0", "-7", "9" * 40)),
        chance.choice(_HOSTS),
        chance.choice(_PORTS),
        *chance.choice((("typ", "host"), ("typ", "relay", "raddr"), ("typ",), ("x", "prflx"))),
        *chance.choice(((), ("raddr", "0.0.0.0", "rport", "x"), ("generation", "0"))),
    ]
    if chance.random() < 0.2:
        del words[chance.randrange(len(words))]
    return " ".join(words)


def side(chance: random.Random) -> IceSide:
    return IceSide(
        ufrag="peer",
        password=_PASSWORD,
        fingerprints=(Fingerprint(algorithm=chance.choice(("sha-256", "md5")), value="AB"),),
        candidates=tuple(line(chance) for _ in range(chance.choice((0, 1, 5, 40)))),
        setup=chance.choice(list(Setup)),
    )


def check_of(chance: random.Random, ours: IceSide) -> bytes:
    """A check as the peer makes them, with some of what belongs there."""
    message = stun.Message(
        chance.choice((stun.Method.BINDING, stun.Method.ALLOCATE)),
        chance.choice(list(stun.Class)),
        chance.randbytes(12),
    )
    values: dict[str, Any] = {
        "USERNAME": chance.choice((f"{ours.ufrag}:peer", f"{ours.ufrag}:", "x", "")),
        "PRIORITY": chance.getrandbits(32),
        "USE-CANDIDATE": None,
        "ICE-CONTROLLING": chance.getrandbits(64),
        "ICE-CONTROLLED": chance.getrandbits(64),
    }
    for name in _NAMES:
        if chance.random() < 0.8:
            message.attributes[name] = values[name]
    if chance.random() < 0.9:
        message.add_message_integrity(ours.password.encode())
    return bytes(message)


def datagram(chance: random.Random, ours: IceSide) -> bytes:
    match chance.randrange(5):
        case 0:
            return chance.randbytes(chance.choice((0, 1, 20, 100)))
        case 1:
            return bytes((chance.randrange(20, 64),)) + chance.randbytes(chance.randrange(60))
        case 2:
            return b"\x00\x01" + attribute(chance)
    octets = bytearray(check_of(chance, ours))
    if chance.random() < 0.4:
        octets[chance.randrange(len(octets))] ^= 1 << chance.randrange(8)
    return bytes(octets[: chance.choice((len(octets), len(octets), 20, 24))])


def attribute(chance: random.Random) -> bytes:
    """The rest of a request that is all one attribute, of a wrong length as a rule."""
    value = chance.randbytes(chance.choice((0, 1, 3, 4, 8, 20)))
    head = chance.choice(_ATTRIBUTES).to_bytes(2, "big") + len(value).to_bytes(2, "big")
    body = head + value + bytes(-len(value) % 4)
    return len(body).to_bytes(2, "big") + b"\x21\x12\xa4\x42" + chance.randbytes(12) + body


async def session(chance: random.Random) -> None:
    loop = asyncio.get_running_loop()
    faults: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda loop, context: faults.append(context))
    sent: list[tuple[bytes, Address]] = []
    endpoint = Endpoint(
        host=_LOCAL[0],
        local=_LOCAL,
        is_offerer=chance.random() < 0.5,
        send=lambda octets, address: sent.append((octets, address)),
        watcher=Watcher(),
    )
    for _ in range(chance.randrange(1, 30)):
        before, octets = len(sent), datagram(chance, endpoint.side)
        endpoint.take(octets, ("192.0.2.7", chance.randrange(1, 200)))
        assert len(sent) - before <= 1
        assert all(len(answer) <= len(octets) + 80 for answer, _ in sent[before:])
        if chance.random() < 0.1:
            endpoint.connect(side(chance))
        if chance.random() < 0.1:
            endpoint.restart()
        if chance.random() < 0.05:
            endpoint.stay()
        if chance.random() < 0.3:
            await asyncio.sleep(0)
    endpoint.close()
    for _ in range(5):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert not faults, faults
    assert all(0 < port < 0x10000 for _, (_, port) in sent)
    assert len({address for _, address in sent}) <= 200 + MOST_SOURCES


def check(seed: int) -> None:
    """One try; the same for the same seed, but for names and certificates."""
    chance = random.Random(seed)
    for each in candidates.usable([line(chance) for _ in range(10)], _LOCAL[0]):
        assert 0 < each.port < 0x10000 and each.component == 1
    asyncio.run(session(chance))
