"""A path that loses what a test says, once each: between a sipp and whoever it talks to."""

import re
import socket
import threading
from collections.abc import Sequence

_WAKE = 0.2  # seconds until it looks whether it is to end


class LossyPath:
    """Datagrams from anybody go to `to`, and its answers back to who wrote last.

    `lost` names messages, as "INVITE" for a request and "200 INVITE" for a response; the first of
    each that comes by is dropped. Its own address stands in no message: what comes back by the
    Contact passes it by.
    """

    def __init__(self, host: str, to: tuple[str, int], lost: Sequence[str]) -> None:
        self._to = to
        self._left = list(lost)
        self._near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for wire in (self._near, self._far):
            wire.bind((host, 0))
            wire.settimeout(_WAKE)
        self._caller: tuple[str, int] | None = None
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=run) for run in (self._forth, self._back)]
        for thread in self._threads:
            thread.start()

    @property
    def address(self) -> tuple[str, int]:
        """Where it takes datagrams for the other end."""
        host, port = self._near.getsockname()
        return host, port

    @property
    def left(self) -> list[str]:
        """What was to be lost and did not come by."""
        return list(self._left)

    def _forth(self) -> None:
        while not self._ended.is_set():
            try:
                data, self._caller = self._near.recvfrom(65536)
            except OSError:
                continue
            if not self._loses(data):
                self._far.sendto(data, self._to)

    def _back(self) -> None:
        while not self._ended.is_set():
            try:
                data = self._far.recv(65536)
            except OSError:
                continue
            if self._caller is not None and not self._loses(data):
                self._near.sendto(data, self._caller)

    def _loses(self, data: bytes) -> bool:
        name = _name(data)
        if name not in self._left:
            return False
        self._left.remove(name)
        return True

    def end(self) -> None:
        """End it."""
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self._near.close()
        self._far.close()


def _name(data: bytes) -> str:
    text = data.decode("latin-1")
    if status := re.match(r"SIP/2\.0 (\d{3})", text):
        method = re.search(r"\r\nCSeq:\s*\d+ (\w+)", text)
        return f"{status[1]} {method[1] if method else ''}"
    return text.partition(" ")[0]
