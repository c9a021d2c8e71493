"""A phone made with aiosipua, in a Python that has nothing of ours."""

from pathlib import Path

from tests.interop.node_peer import CACHE, LinePeer
from tests.ports import free_port

_PROGRAM = Path(__file__).parent / "sip" / "aiosipua_phone.py"


class Aiosipua(LinePeer):
    """It listens once `wait("listening")` is over, and takes every call."""

    def __init__(self, log: Path, *, host: str = "127.0.0.1", transport: str = "udp") -> None:
        self.host, self.port = host, free_port(host)
        python = str(CACHE / "aiosipua" / "bin" / "python")
        rtp = str(free_port(host))
        command = [python, "-O", str(_PROGRAM), host, str(self.port), rtp, transport]
        super().__init__(log, command, {"PYTHONPATH": ""})
