"""Kannel 1.4.5 (Debian) as `bench/sms.py` starts it: file store, window 100."""

import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from processes import Process

# Which events are told: 3 is delivered or not (one), 31 also what the SMSC answered (two).
_MASKS = {1: 3, 2: 31}
_CONFIG = """
group = core
admin-port = {admin}
admin-interface = 127.0.0.1
smsbox-port = {box}
smsbox-interface = 127.0.0.1
admin-password = bench
log-file = {folder}/bearerbox.log
log-level = 2
box-allow-ip = 127.0.0.1
dlr-storage = internal
store-type = file
store-location = {folder}/kannel.store
store-dump-freq = 10

group = smsc
smsc = smpp
smsc-id = sink
host = 127.0.0.1
port = {sink}
transceiver-mode = true
smsc-username = bench
smsc-password = bench
system-type = x
max-pending-submits = 100
msg-id-type = 0
alt-charset = "ISO-8859-1"

group = smsbox
smsbox-id = box
bearerbox-host = 127.0.0.1
sendsms-port = {http}
sendsms-interface = 127.0.0.1
log-file = {folder}/smsbox.log
log-level = 2
mo-recode = false

group = sendsms-user
username = bench
password = bench
concatenation = true
max-messages = 10

group = sms-service
keyword = default
max-messages = 0
text = "x"
"""


def provide() -> bool:
    """Whether Kannel is here, installing it if that can be done."""
    if shutil.which("bearerbox") is None and os.geteuid() == 0 and shutil.which("apt-get"):
        environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        install = ["apt-get", "install", "-y", "--no-install-recommends", "kannel"]
        for command in (["apt-get", "update"], install):
            subprocess.run(
                command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
    return shutil.which("bearerbox") is not None


class Kannel:
    """A running bearerbox with its smsbox."""

    name = "Kannel 1.4.5, file store"

    def __init__(self, boxes: list[Process], port: int, mask: int) -> None:
        self._boxes = boxes
        self._port = port
        self._mask = mask

    def load(self, peers: Any) -> list[str]:
        callback = quote(f"http://127.0.0.1:{peers.receiver.stats()['port']}/d?t=%d", safe="")
        return [
            "--port",
            str(self._port),
            "--method",
            "GET",
            "--path",
            "/cgi-bin/sendsms?username=bench&password=bench&from=1000&to=15551230009"
            f"&text=msg+@N@&dlr-mask={self._mask}&dlr-url={callback}",
        ]

    def cpu(self) -> float:
        return sum(box.cpu() for box in self._boxes)

    def memory(self) -> float:
        return sum(box.memory() for box in self._boxes)

    def end(self) -> None:
        for box in reversed(self._boxes):
            box.end()


def start(folder: Path, peers: Any, callbacks: int) -> Kannel:
    admin, box, http = _free_ports(3)
    config = folder / "kannel.conf"
    config.write_text(
        _CONFIG.format(
            admin=admin, box=box, http=http, sink=peers.sink.stats()["port"], folder=folder
        )
    )
    boxes = []
    # The port for smsboxes is not tried: that would be a box that came and went.
    for name, port in (("bearerbox", admin), ("smsbox", http)):
        log = folder / f"{name}.out"
        boxes.append(Process([name, "-v", "4", str(config)], log=log))
        _wait_until(partial(_is_open, port), log)
    _wait_until(partial(_is_online, admin), log)
    return Kannel(boxes, http, _MASKS[callbacks])


def _free_ports(count: int) -> list[int]:
    """Kannel can't take port 0: ports that were free a moment ago."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _is_online(admin: int) -> bool:
    """Whether the SMSC is bound and the smsbox has logged in."""
    url = f"http://127.0.0.1:{admin}/status.txt?password=bench"
    with urllib.request.urlopen(url, timeout=5) as response:
        status = response.read().decode()
    return "(online" in status and "smsbox:box" in status


def _wait_until(holds: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"Kannel did not start:\n{log.read_text()}")
        time.sleep(0.1)
