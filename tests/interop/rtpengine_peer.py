"""rtpengine as a media plane: Debian's, in user space, on loopback, on ports of its own.

Whoever it was told of is forgotten after 60 s in which nothing came, as rtpengine has it. Two that
had the same ports would take each other's packets: it shares them with whoever asks for it.
"""

import os
import random
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from protocols.ng import message
from protocols.ng.bencode import Value
from tests.integration.gateway_process import wait_for
from tests.ports import free_port

HOST: Final = "127.0.0.1"
SPANS: Final = range(10_000, 16_000, 1000)  # other programs' ports are passed over
_FORGOTTEN: Final = 60  # seconds without a packet
_LARGEST: Final = 65_535


class Rtpengine:
    """It answers once it is made; `kill` and `start` are as often as a test wants."""

    def __init__(self, folder: Path, *, interfaces: tuple[str, ...] = (HOST,)) -> None:
        self.address = HOST, free_port()
        self.folder = folder
        self._cli = free_port()
        self._held, self._first = hold_span()
        self._interfaces = interfaces
        self._asked = 0
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir()
        self.start()

    @property
    def pid(self) -> int:
        """Its process, while it runs."""
        assert self._process is not None, "rtpengine is not running"
        return self._process.pid

    def start(self) -> None:
        """Start it where it was; nothing is known to it."""
        assert self._process is None, "rtpengine is running"
        with (self.folder / "rtpengine.log").open("ab") as output:
            self._process = subprocess.Popen(self._command(), stdout=output, stderr=output)
        wait_for(self._answers, f"rtpengine answers at {self.address}")

    def kill(self) -> None:
        """End it from one moment to the next."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """End it for good."""
        self.kill()
        self._held.close()

    def calls(self) -> list[str]:
        """Who is known to it."""
        found: list[str] = self.ask("list", limit=1000)["calls"]
        return found

    def ask(self, command: str, **fields: Value) -> dict[str, Any]:
        """What it answers, to a client that is not the gateway's."""
        self._asked += 1
        asked = message.command(f"peer{self._asked}", command, fields)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
            wire.connect(self.address)
            wire.settimeout(10)
            wire.send(message.write(asked))
            answer = message.read(wire.recv(_LARGEST))
        assert message.refusal(answer) is None, answer
        return answer.fields

    def log(self) -> str:
        """What it wrote."""
        return (self.folder / "rtpengine.log").read_text(errors="replace")[-20_000:]

    def _command(self) -> list[str]:
        program = shutil.which("rtpengine", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
        assert program is not None, "rtpengine is not here: tests/interop/provide rtpengine"
        return [
            program,
            *("--config-file=none", "--table=-1", "--foreground", "--log-stderr"),
            *("--log-level=6", f"--pidfile={self.folder / 'pid'}"),
            *(f"--interface={each}" for each in self._interfaces),
            *(f"--listen-ng={HOST}:{self.address[1]}", f"--listen-cli={HOST}:{self._cli}"),
            *(f"--port-min={self._first}", f"--port-max={self._first + SPANS.step - 1}"),
            *("--num-threads=2", f"--timeout={_FORGOTTEN}", "--delete-delay=0"),
        ]

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log()
        try:
            return self.ask("ping")["result"] == "pong"
        except OSError:
            return False


def hold_span() -> tuple[socket.socket, int]:
    """The first of ports that no other one has while the socket is open, which says so to them."""
    for first in random.sample(SPANS, len(SPANS)):
        held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            held.bind((HOST, first))
            held.listen()
        except OSError:
            held.close()
            continue
        return held, first
    raise AssertionError(f"all ports from {SPANS.start} to {SPANS.stop - 1} are taken")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Rtpengine]:
    """One for a test."""
    peer = Rtpengine(tmp_path / "rtpengine")
    yield peer
    peer.close()
