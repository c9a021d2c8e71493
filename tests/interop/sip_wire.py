"""A capture of SIP and RTP on the loopback interface, and what tshark reads in it."""

import re
import socket
import subprocess
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.integration.gateway_process import wait_for

_WARNING = 0x00600000
_HOST = "127.0.0.1"
_UDP_HEADER = 8  # octets
_STREAM = re.compile(r"0x[0-9A-Fa-f]{8}\s+(.+?)\s+(\d+)\s+(-?\d+) \(")
_NOT_TCPS = "not tcp.analysis.flags and not tcp.connection.rst"


@dataclass(frozen=True, slots=True, kw_only=True)
class Datagram:
    """What went from one port to another, and when: seconds since the epoch."""

    at: float
    source: int
    target: int
    octets: bytes


class SipCapture:
    """All that goes to and from `ports`, and all between `media`, until `stop`.

    Packets reach the file late but in their order: a datagram to a port of our own that is in the
    file says that all before it are.
    """

    def __init__(self, folder: Path, ports: Iterable[int], media: tuple[int, int]) -> None:
        self._file, self._log = folder / "sip.pcapng", folder / "tshark.log"
        self._ports, self._media = tuple(ports), media
        self._bell = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._bell.bind((_HOST, 0))
        bell = self._bell.getsockname()[1]
        self._rung = f"udp.dstport == {bell}"
        places = [*(f"port {port}" for port in (*self._ports, bell))]
        places.append(f"portrange {media[0]}-{media[1]}")
        # Somebody else may have the same port at another address of this machine.
        wanted = [
            f"({end} host {_HOST} and {end} {place})" for place in places for end in ("src", "dst")
        ]
        command = ["tshark", "-i", "lo", "-f", " or ".join(wanted), "-w", str(self._file), "-B"]
        with self._log.open("wb") as output:
            self._process = subprocess.Popen([*command, "16"], stdout=output, stderr=output)
        self._stopped = False
        wait_for(lambda: self._rings(b"begin"), "tshark captures")

    def _rings(self, said: bytes) -> bool:
        """Ring once more; whether the file has a bell that says as much."""
        assert self._process.poll() is None, f"tshark cannot capture:\n{self._log.read_text()}"
        self._bell.sendto(said, self._bell.getsockname())
        rung = f"{self._rung} and udp.length == {len(said) + _UDP_HEADER}"
        return self._file.exists() and bool(self._fields(rung, "frame.number"))

    def stop(self) -> None:
        """End it, with all that came before in the file."""
        if self._stopped:
            return
        self._stopped = True
        try:
            wait_for(lambda: self._rings(b"the end"), "the capture is written")
        finally:
            self._bell.close()
            self._process.terminate()
            self._process.wait(10)

    def messages(self) -> Counter[str]:
        """How often each method and each status was seen."""
        found = self._fields("sip", "sip.Method", "sip.Status-Code")
        return Counter(each for line in found for each in line.split("\t") if each)

    def reports(self) -> int:
        """How many packets of RTCP."""
        return len(self._fields("rtcp", "frame.number"))

    def streams(self) -> list[tuple[str, int, int]]:
        """Each stream of RTP: its payload, how many packets it has, and how many it lacks."""
        command = ["tshark", "-r", str(self._file), *self._decoded(), "-q", "-z", "rtp,streams"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        return [(found[1], int(found[2]), int(found[3])) for found in _STREAM.finditer(done.stdout)]

    def datagrams(self) -> list[Datagram]:
        """All of them between `media`, in order."""
        first, last = self._media
        shown = ("frame.time_epoch", "udp.srcport", "udp.dstport", "udp.payload")
        rows = self._fields(f"udp.port >= {first} and udp.port <= {last}", *shown)
        return [
            Datagram(
                at=float(at), source=int(source), target=int(target), octets=bytes.fromhex(octets)
            )
            for at, source, target, octets in (row.split("\t") for row in rows)
        ]

    def faults(self) -> list[str]:
        """Frames that are malformed, or of which a dissector has a warning or an error to tell.

        What TCP has to say (a segment seen twice, a reset) is no matter of ours, and that a
        message came again is none of a fault: tshark tells of it as a note.
        """
        spoken = "sip or sdp or rtp or rtcp or rtpevent"
        severe = f"({spoken}) and _ws.expert.severity >= {_WARNING} and {_NOT_TCPS}"
        wrong = f"(_ws.malformed and ({spoken})) or ({severe})"
        return self._fields(wrong, "frame.number", "_ws.expert.message", "_ws.col.Info")

    def _fields(self, display_filter: str, *fields: str) -> list[str]:
        shown = [each for field in fields for each in ("-e", field)]
        command = [
            "tshark",
            "-r",
            str(self._file),
            *self._decoded(),
            "-Y",
            display_filter,
            "-T",
            "fields",
        ]
        command += ["-o", "tcp.desegment_tcp_streams:TRUE", *shown]
        # A file that is still written may end within a packet; tshark reads what is before.
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        return done.stdout.splitlines()

    def _decoded(self) -> list[str]:
        return [
            each
            for port in self._ports
            for kind in ("tcp", "udp")
            for each in ("-d", f"{kind}.port=={port},sip")
        ]
