"""A capture of SIP and RTP on the loopback interface, and what tshark reads in it."""

import socket
import subprocess
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tests.integration.gateway_process import wait_for

_WARNING = 0x00600000
_NOT_TCPS = "not tcp.analysis.flags and not tcp.connection.rst"


class SipCapture:
    """All that goes to and from `ports`, and all of UDP between `media`, until `stop`.

    Packets reach the file late but in their order: a datagram to a port of our own that is in the
    file says that all before it are.
    """

    def __init__(self, folder: Path, ports: Iterable[int], media: tuple[int, int]) -> None:
        self._file, self._log = folder / "sip.pcapng", folder / "tshark.log"
        self._ports = tuple(ports)
        self._bell = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._bell.bind(("127.0.0.1", 0))
        bell = self._bell.getsockname()[1]
        self._rung = f"udp.dstport == {bell}"
        wanted = [*(f"port {port}" for port in (*self._ports, bell))]
        wanted.append(f"udp portrange {media[0]}-{media[1]}")
        command = ["tshark", "-i", "lo", "-f", " or ".join(wanted), "-w", str(self._file), "-B"]
        with self._log.open("wb") as output:
            self._process = subprocess.Popen([*command, "16"], stdout=output, stderr=output)
        self._stopped = False
        wait_for(self._is_written, "tshark captures")

    def _is_written(self) -> bool:
        """Ring once more; whether the file has the bell."""
        assert self._process.poll() is None, f"tshark cannot capture:\n{self._log.read_text()}"
        self._bell.sendto(b"\n", self._bell.getsockname())
        return self._file.exists() and bool(self._fields(self._rung, "frame.number"))

    def stop(self) -> None:
        """End it, with all that came before in the file."""
        if self._stopped:
            return
        self._stopped = True
        before = len(self._fields(self._rung, "frame.number"))
        try:
            wait_for(lambda: self._is_written_after(before), "the capture is written")
        finally:
            self._bell.close()
            self._process.terminate()
            self._process.wait(10)

    def _is_written_after(self, before: int) -> bool:
        return self._is_written() and len(self._fields(self._rung, "frame.number")) > before

    def messages(self) -> Counter[str]:
        """How often each method and each status was seen."""
        found = self._fields("sip", "sip.Method", "sip.Status-Code")
        return Counter(each for line in found for each in line.split("\t") if each)

    def packets(self) -> int:
        """How many of RTP, as their SDP says."""
        return len(self._fields("rtp", "frame.number"))

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
        decode = [
            each
            for port in self._ports
            for kind in ("tcp", "udp")
            for each in ("-d", f"{kind}.port=={port},sip")
        ]
        shown = [each for field in fields for each in ("-e", field)]
        command = ["tshark", "-r", str(self._file), *decode, "-Y", display_filter, "-T", "fields"]
        command += ["-o", "tcp.desegment_tcp_streams:TRUE", *shown]
        # A file that is still written may end within a packet; tshark reads what is before.
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        return done.stdout.splitlines()
