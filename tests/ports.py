"""Ports for tests: those that stay free until they are taken, and those where nobody is.

Who connects, or asks for any port, is given one of the system's range, which begins at 16000 or
above. What is named beforehand is drawn from below it, so none of them comes in between.
"""

import asyncio
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import Final

UDP: Final = socket.SOCK_DGRAM
TCP: Final = socket.SOCK_STREAM
_PORTS: Final = range(6_000, 10_000, 4)  # media's begin there
_chance: Final = random.SystemRandom()
_given: Final[set[int]] = set()
# Above those and below where the workers of gateways begin to take theirs, each the part of a
# process: a test that lends ports takes them one after the other, long after it looked.
_PARTS: Final = range(11_500, 15_400, 100)


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody has at `host`, for what can't say which it took: each is given once.

    It is even, and free over UDP and TCP, as are the three behind it, which RTCP would have, and
    the pictures of who sends some.
    """
    while True:
        port = _chance.choice(_PORTS)
        pairs = [(port + more, kind) for more in range(4) for kind in (UDP, TCP)]
        if port not in _given and not any(is_taken(host, *each) for each in pairs):
            _given.add(port)
            return port


def free_pairs(pairs: int, host: str = "127.0.0.1") -> int:
    """Where so many pairs of an even port and the next begin that nobody has over UDP.

    They stay free until this process asked for 50 pairs more, at any address.
    """
    part, turn = _part()
    for _ in range(len(part)):
        first = part[next(turn) * 2 % len(part)]
        wanted = range(first, first + 2 * pairs)
        if wanted[-1] in part and not any(is_taken(host, port, UDP) for port in wanted):
            for _ in range(pairs - 1):
                next(turn)
            return first
    raise AssertionError(f"no {pairs} pairs in a row are free in {part}")


@cache
def _part() -> tuple[range, Iterator[int]]:
    """The ports of this process, and which pair of them is next.

    As long as it lives it has the first of them over TCP, where nobody else wants one.
    """
    for first in _PARTS:
        held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            held.bind(("127.0.0.1", first))
        except OSError:
            held.close()
        else:
            held.detach()
            return range(first, first + _PARTS.step), count()
    raise AssertionError(f"{len(_PARTS)} other processes test here, end some of them")


def is_taken(host: str, port: int, kind: socket.SocketKind) -> bool:
    """Whether somebody has it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(kind is TCP))
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


@contextmanager
def refusing_port(kind: socket.SocketKind, host: str = "127.0.0.1") -> Iterator[int]:
    """A port that refuses what comes, and that nobody else can take meanwhile."""
    with socket.socket(socket.AF_INET, kind) as held:
        held.bind((host, 0))
        if kind is UDP:
            held.connect(held.getsockname())  # it takes nothing but its own from now on
        yield int(held.getsockname()[1])


async def listened_at(port: int, process: asyncio.subprocess.Process, log: Path) -> None:
    """Wait until a program listens at a port of TCP; what it wrote, if it ends before."""
    async with asyncio.timeout(30):
        while True:
            if process.returncode is not None:
                said = await asyncio.to_thread(log.read_text, errors="replace")
                raise AssertionError(f"it ended:\n{said}")
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            await writer.wait_closed()
            return
