"""One end of a media stream: it speaks into a port and counts what comes back."""

import socket
import struct
import time

_PACE = 0.02  # seconds of PCMU in a packet
_LATE = 0.1  # seconds that the last ones may take
_OCTETS = 160
_HEAD = struct.Struct("!BBHII")


class Speaker:
    """A socket at `host`; its packets are of one source, numbered on from call to call."""

    def __init__(self, host: str, source: int) -> None:
        self._wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._wire.bind((host, 0))
        self._source = source
        self._number = 0

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._wire.getsockname()[1]
        return port

    def speak(self, to: tuple[str, int], seconds: float) -> int:
        """Send twenty milliseconds at a time for so long; how many packets came meanwhile."""
        heard, begun = 0, time.monotonic()
        for at in range(int(seconds / _PACE)):
            head = _HEAD.pack(0x80, 0, self._number, self._number * _OCTETS, self._source)
            self._wire.sendto(head + bytes([0xD5]) * _OCTETS, to)
            self._number += 1
            heard += self.hear(begun + (at + 1) * _PACE - time.monotonic())
        return heard + self.hear(_LATE)

    def hear(self, seconds: float) -> int:
        """How many packets of RTP come in that time."""
        heard, until = 0, time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._wire.settimeout(left)
            try:
                came = self._wire.recv(2048)
            except TimeoutError:
                break
            heard += len(came) == _HEAD.size + _OCTETS
        return heard

    def end(self) -> None:
        """Listen no more."""
        self._wire.close()
