"""A tone that reports: RTCP of its own beside it, every half second (RFC 3550 §6.4)."""

import asyncio
import struct
import time

from tests.integration.voice.phones import Sound
from tests.ports import free_port

_NTP = 2_208_988_800  # seconds from 1900 to 1970
_PAUSE = 0.5


class ReportingSound(Sound):
    """Says that of what it heard 5 % was lost; keeps how many reports came."""

    def __init__(self, tone: float) -> None:
        super().__init__(tone)
        self.reports = 0
        self._peer = 0  # its SSRC
        self._last = (0, 0.0)  # its last report: the middle of its time, and when it came
        self._highest = 0
        self._reporting: asyncio.TimerHandle | None = None
        self._control: asyncio.DatagramTransport

    async def open(self, host: str = "127.0.0.1") -> "ReportingSound":
        loop = asyncio.get_running_loop()
        while True:
            port = free_port()
            try:
                self.transport, _ = await loop.create_datagram_endpoint(lambda: self, (host, port))
                self._control, _ = await loop.create_datagram_endpoint(
                    lambda: _Control(self), (host, port + 1)
                )
            except OSError:
                continue
            return self

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        super().datagram_received(data, addr)
        self._highest, _, self._peer = struct.unpack_from("!HII", data, 2)

    def begin(self, remote: tuple[str, int]) -> None:
        super().begin(remote)
        if self._reporting is None:
            self._report()

    def take(self, data: bytes) -> None:
        if data[1] == 200:
            self.reports += 1
            self._last = (int.from_bytes(data[10:14], "big"), time.time())

    def _report(self) -> None:
        now = time.time()
        stamp = int((now + _NTP) * 65536)
        middle, came = self._last
        delay = int((now - came) * 65536) if came else 0
        said = struct.pack("!BBHI", 0x81, 200, 12, self._ssrc)
        said += struct.pack("!QIII", stamp << 16, self._stamp & 0xFFFFFFFF, self._sequence, 0)
        said += struct.pack("!IIIIII", self._peer, 13 << 24 | 3, self._highest, 40, middle, delay)
        said += struct.pack("!BBHI", 0x81, 202, 2, self._ssrc) + b"\1\2ab"
        if self.remote is not None:
            self._control.sendto(said, (self.remote[0], self.remote[1] + 1))
        self._reporting = asyncio.get_running_loop().call_later(_PAUSE, self._report)

    def close(self) -> None:
        if self._reporting is not None:
            self._reporting.cancel()
        self._control.close()
        super().close()


class _Control(asyncio.DatagramProtocol):
    def __init__(self, sound: ReportingSound) -> None:
        self._sound = sound

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._sound.take(data)
