"""A capture on the loopback interface, and what tshark reads in it."""

import socket
import subprocess
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tests.integration.gateway_process import wait_for

SUBMIT_SM, SUBMIT_SM_RESP, DELIVER_SM, DELIVER_SM_RESP = 4, 0x80000004, 5, 0x80000005
_WARNING = 0x00600000
_NOT_TCPS = "not tcp.analysis.flags and not tcp.connection.rst"


class Capture:
    """All that goes to and from `ports`, until `stop`.

    Packets reach the file late but in their order: one to a port of our own that is in the file
    says that all before it are.
    """

    def __init__(self, folder: Path, ports: Iterable[int]) -> None:
        self._file = folder / "capture.pcapng"
        self._log = folder / "tshark.log"
        self._ports = tuple(ports)
        self._bell = socket.create_server(("127.0.0.1", 0))
        self._bell_port = self._bell.getsockname()[1]
        captured = (*self._ports, self._bell_port)
        ports_filter = " or ".join(f"tcp port {port}" for port in captured)
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                ["tshark", "-i", "lo", "-f", ports_filter, "-w", str(self._file), "-B", "16"],
                stdout=output,
                stderr=output,
            )
        wait_for(self._is_written, "tshark captures")
        self._stopped = False

    def _is_written(self) -> bool:
        """Ring once more; whether the file has the bell."""
        assert self._process.poll() is None, f"tshark cannot capture:\n{self._log.read_text()}"
        with socket.create_connection(("127.0.0.1", self._bell_port)):
            ringing = self._bell.accept()[0]
            port = ringing.getpeername()[1]
            ringing.close()
        return self._file.exists() and bool(self._fields(f"tcp.port == {port}", "frame.number"))

    def stop(self) -> None:
        """End it, with all that came before in the file."""
        if self._stopped:
            return
        self._stopped = True
        try:
            wait_for(self._is_written, "the capture is written")
        finally:
            self._bell.close()
            self._process.terminate()
            self._process.wait(10)

    def commands_after_stop(self) -> Counter[int]:
        """End it; how often each command_id was seen. A frame may have many."""
        self.stop()
        found = self._fields("smpp.command_id", "smpp.command_id")
        return Counter(int(each, 0) for line in found for each in line.split(",") if each)

    def faults(self) -> list[str]:
        """Frames that are malformed, or of which a dissector has a warning or an error to tell.

        What TCP has to say (a segment seen twice, a reset) is no matter of ours.
        """
        wrong = f"_ws.malformed or (smpp and _ws.expert.severity >= {_WARNING} and {_NOT_TCPS})"
        return self._fields(wrong, "frame.number", "_ws.expert.message", "smpp.command_id")

    def _fields(self, display_filter: str, *fields: str) -> list[str]:
        decode = [each for port in self._ports for each in ("-d", f"tcp.port=={port},smpp")]
        shown = [each for field in fields for each in ("-e", field)]
        command = ["tshark", "-r", str(self._file), *decode, "-Y", display_filter, "-T", "fields"]
        # Without desegmentation a PDU on the border of two packets would count as malformed.
        command += ["-o", "tcp.desegment_tcp_streams:TRUE", *shown]
        # A file that is still written may end within a packet; tshark reads what is before.
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        return done.stdout.splitlines()
