"""rtpengine as a relay beside ours: started in user space, told of calls by its ng protocol.

A command is a cookie, a space and a dictionary in bencoding, in a datagram; so is the answer.
"""

import asyncio
import re
import shutil
import socket
from collections.abc import Mapping
from typing import Any

HOST = "127.0.0.1"
PATIENCE = 5.0  # seconds
PROGRAM = "rtpengine"
_PORT = re.compile(rb"m=audio (\d+)")


def is_installed() -> bool:
    return shutil.which(PROGRAM) is not None


def bencoded(value: Any) -> bytes:
    match value:
        case str():
            octets = value.encode()
            return b"%d:%b" % (len(octets), octets)
        case list():
            return b"l" + b"".join(map(bencoded, value)) + b"e"
        case Mapping():
            pairs = (bencoded(key) + bencoded(value[key]) for key in sorted(value))
            return b"d" + b"".join(pairs) + b"e"
        case _:
            raise TypeError(type(value).__name__)


def _description(port: int) -> str:
    lines = (
        "v=0",
        f"o=bench 1 1 IN IP4 {HOST}",
        "s=-",
        f"c=IN IP4 {HOST}",
        "t=0 0",
        f"m=audio {port} RTP/AVP 8",
        "a=rtpmap:8 PCMA/8000",
    )
    return "".join(f"{line}\r\n" for line in lines)


def _free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as made:
        made.bind((HOST, 0))
        port: int = made.getsockname()[1]
    return port


class Relay:
    """One rtpengine."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._ng = (HOST, _free_port(socket.SOCK_DGRAM))
        self._asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._cookie = 0

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start it with one thread for packets, as a worker of ours has one."""
        self._process = await asyncio.create_subprocess_exec(
            PROGRAM,
            "--config-file=none",
            "--table=-1",
            f"--interface={HOST}",
            f"--listen-ng={HOST}:{self._ng[1]}",
            f"--listen-cli={HOST}:{_free_port(socket.SOCK_STREAM)}",
            "--port-min=32000",
            "--port-max=60000",
            "--num-threads=1",
            "--log-level=2",
            "--log-stderr",
            "--foreground",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        self._asking.settimeout(0.3)
        for _ in range(20):
            try:
                self._ask({"command": "ping"})
                break
            except (TimeoutError, ConnectionError):
                await asyncio.sleep(0.1)
        self._asking.settimeout(PATIENCE)

    def _ask(self, command: Mapping[str, Any]) -> bytes:
        self._cookie += 1
        cookie = b"%d " % self._cookie
        self._asking.sendto(cookie + bencoded(command), self._ng)
        while True:
            answer = self._asking.recv(65536)
            if answer.startswith(cookie):
                return answer

    def place(self, ports: list[int]) -> list[int]:
        """Calls of two legs each; where each leg is to send to."""
        targets = []
        for number in range(0, len(ports), 2):
            call = {"call-id": f"call{number}", "from-tag": "a", "ICE": "remove"}
            offer = {"command": "offer", "sdp": _description(ports[number])}
            answer = {"command": "answer", "sdp": _description(ports[number + 1]), "to-tag": "b"}
            to_b = self._ask(call | offer)
            to_a = self._ask(call | answer)
            targets += [_port(to_a), _port(to_b)]
        return targets

    async def close(self) -> None:
        self._asking.close()
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()


def _port(answer: bytes) -> int:
    found = _PORT.search(answer)
    if found is None:
        raise SystemExit(f"rtpengine: {answer!r}")
    return int(found[1])
