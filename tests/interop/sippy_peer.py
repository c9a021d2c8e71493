"""sippy's back-to-back agent: it takes each call and makes it anew at the next hop."""

import os
import subprocess
from pathlib import Path

from tests.integration.gateway_process import wait_for
from tests.interop.node_peer import CACHE
from tests.ports import UDP, free_port, is_taken

# Three threads of it would read and send, and overtake each other: a 487 its 200.
_IN_ORDER = """
from sippy.Udp_server import Udp_server_opts
from sippy.b2bua_simple import main_func

Udp_server_opts.nworkers = 1
main_func()
"""


class Sippy:
    """It listens once it is made; calls go on to `next_hop`."""

    def __init__(self, folder: Path, next_hop: tuple[str, int], *, host: str = "127.0.0.1") -> None:
        folder.mkdir()
        self.host, self.port = host, free_port(host)
        self._log = folder / "sippy.log"
        command = [str(CACHE / "sippy" / "bin" / "python"), "-c", _IN_ORDER, "-f", "-l", host]
        command += ["-p", str(self.port), "-n", f"{next_hop[0]}:{next_hop[1]}"]
        # It logs each message, into a file in /var/log unless told.
        environ = {"SIPLOG_LOGFILE_FILE": str(folder / "messages.log"), "PYTHONPATH": ""}
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=output, env={**os.environ, **environ}
            )
        wait_for(self._listens, f"sippy listens at {self.port}")

    def _listens(self) -> bool:
        assert self._process.poll() is None, self.log()
        return is_taken(self.host, self.port, UDP)

    def log(self) -> str:
        """What it wrote."""
        return self._log.read_text(errors="replace")[-20_000:]

    def end(self) -> None:
        """End it; it has no state to keep."""
        self._process.kill()
        self._process.wait()
