"""baresip as a phone without a sound card: it plays a tone, and writes down what it hears.

What baresip 1.0.0 wants: `net_interface` with the address, or it takes another one, and it knows no
other of the loopback interface than 127.0.0.1; a tone as a
file at the rate of the codec, for its own generator is at 48 kHz in stereo; `sndfile` for what was
heard (its player into a file loses the end); for TLS a certificate of its own for each phone.
"""

import json
import re
import shutil
import socket
import subprocess
import time
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.integration.gateway_process import wait_for
from tests.interop.heard import Heard, heard_in
from tests.ports import free_port

RATE = 8000
_WITHIN = 30.0
_CONFIG = """
poll_method epoll
sip_listen {host}:{port}
{certificate}
call_local_timeout 60
call_max_calls 4
audio_player aufile,{folder}/played.wav
audio_source aufile,{folder}/tone.wav
audio_alert aufile,/dev/null
ausrc_srate 8000
auplay_srate 8000
audio_level no
rtp_timeout 60
rtp_ports {rtp}-{rtp_last}
net_interface {host}
module_path {modules}
module g711.so
module aufile.so
module sndfile.so
module srtp.so
snd_path {folder}
module_tmp uuid.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen {host}:{control}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who a phone is, and by which way it registers; `server` is host and port."""

    user: str
    domain: str
    password: str
    server: str
    transport: str = "udp"
    media_encryption: str = ""  # "srtp": keys in the SDP, offered; "srtp-mand": or no call
    answers: str = "auto"  # or "manual"
    every: int = 60  # seconds, for a registration; 0: it has none

    def line(self) -> str:
        """As baresip's file of accounts has it."""
        encryption = f";mediaenc={self.media_encryption}" if self.media_encryption else ""
        return (
            f"<sip:{self.user}@{self.domain};transport={self.transport}>;auth_user={self.user}"
            f';auth_pass={self.password};outbound="sip:{self.server};transport={self.transport}"'
            f";regint={self.every};answermode={self.answers};audio_codecs=PCMU/8000,PCMA/8000{encryption}\n"
        )


class Baresip:
    """A phone at `tone` Hz; `certificate` and `authority` are files in PEM, for TLS."""

    def __init__(
        self,
        folder: Path,
        account: Account,
        *,
        tone: int,
        host: str = "127.0.0.1",
        certificate: Path | None = None,
        authority: Path | None = None,
    ) -> None:
        program = shutil.which("baresip")
        assert program is not None, "baresip is not here: tests/interop/provide baresip"
        folder.mkdir()
        self._folder, self._log = folder, folder / "baresip.log"
        self.account = account
        self.port, control, rtp = free_port(host), free_port(host), free_port(host)
        self.media_ports = range(rtp, rtp + 21)
        tls = [f"sip_certificate {certificate}"] if certificate else []
        tls += [f"sip_cafile {authority}"] if authority else []
        (folder / "config").write_text(
            _CONFIG.format(
                host=host,
                port=self.port,
                certificate="\n".join(tls),
                folder=folder,
                rtp=rtp,
                rtp_last=self.media_ports[-1],
                control=control,
                modules=_modules(),
            )
        )
        (folder / "accounts").write_text(account.line())
        (folder / "contacts").write_text("")
        _write_tone(folder / "tone.wav", tone)
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                [program, "-f", str(folder), "-v"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self._wire = wait_for(lambda: self._connected(host, control), "baresip is controlled")
        self._unread = b""
        self.events: list[dict[str, Any]] = []

    def _connected(self, host: str, port: int) -> socket.socket | None:
        assert self._process.poll() is None, self.log()
        try:
            return socket.create_connection((host, port), 1)
        except OSError:
            return None

    def wait_until_registered(self) -> None:
        """Its registration may be told before anybody listens: only its log has it for sure."""
        wait_for(self._is_registered, f"{self.account.user} is registered\n{self.log()}")

    def _is_registered(self) -> bool:
        return re.search(r"200 OK \(.*\[\d+ binding", self.log()) is not None

    def do(self, command: str, parameters: str = "") -> None:
        """Give a command of its menu, such as `dial`, `hangup`, `hold` or `resume`."""
        told = json.dumps({"command": command, "params": parameters, "token": "test"})
        self._wire.sendall(f"{len(told)}:{told},".encode())

    def wait(self, kind: str, within: float = _WITHIN) -> dict[str, Any]:
        """The first event of this kind since the last one waited for, such as CALL_CLOSED."""
        deadline = time.monotonic() + within
        while True:
            for number, event in enumerate(self.events):
                if event.get("type") == kind:
                    del self.events[: number + 1]
                    return event
            left = deadline - time.monotonic()
            assert left > 0, f"no {kind} within {within:g} s: {self.events}\n{self.log()}"
            self._read(left)

    def _read(self, seconds: float) -> None:
        self._wire.settimeout(seconds)
        try:
            came = self._wire.recv(65536)
        except TimeoutError:
            return
        assert came, self.log()
        self._unread += came
        while b":" in self._unread:
            length, _, rest = self._unread.partition(b":")
            if len(rest) <= int(length):  # a comma ends it
                return
            told = json.loads(rest[: int(length)])
            self._unread = rest[int(length) + 1 :]
            if told.get("event"):
                self.events.append(told)

    def talk(self, seconds: float) -> None:
        """Read what it tells until that much of its tone has gone: the call is what takes time."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._read(left)

    def heard(self) -> dict[int, float]:
        """The loudest frequency of each call's received sound in Hz, with its share of the power.

        The phone must have hung up: its files become whole then."""
        found = sorted(self._folder.glob("dump-*-dec.wav"))
        assert found, f"{self.account.user} heard nothing\n{self.log()}"
        for each in found:
            wait_for(lambda path=each: _is_whole(path), f"{each.name} is whole")
        return dict(_loudest(each) for each in found)

    def sounds(self) -> list[Heard]:
        """What it heard in its one call, in order; `heard` says when."""
        assert len(self.heard()) == 1, self.log()
        (file,) = self._folder.glob("dump-*-dec.wav")
        return heard_in(file)[0]

    def log(self) -> str:
        """What it wrote."""
        return self._log.read_text(errors="replace")[-10_000:]

    def end(self) -> None:
        """End it."""
        self._wire.close()
        if self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _modules() -> Path:
    found = [*Path("/usr/lib").glob("baresip/modules"), *Path("/usr/lib").glob("*/baresip/modules")]
    assert found, "baresip has no modules under /usr/lib"
    return found[0]


def _write_tone(path: Path, hertz: int) -> None:
    """Twenty seconds of it."""
    at = np.arange(20 * RATE) / RATE
    samples = (9000 * np.sin(2 * np.pi * hertz * at)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())


def _is_whole(path: Path) -> bool:
    try:
        with wave.open(str(path), "rb") as file:
            return file.getnframes() > 0
    except (wave.Error, EOFError):
        return False


def _loudest(path: Path) -> tuple[int, float]:
    """The frequency with the most power, and what share of all power lies within 10 Hz of it."""
    with wave.open(str(path), "rb") as file:
        rate, channels = file.getframerate(), file.getnchannels()
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")[::channels]
    assert len(samples) >= rate // 2, f"{len(samples)} samples in {path.name}"
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    hertz = np.fft.rfftfreq(len(samples), 1 / rate)
    loudest = hertz[int(power.argmax())]
    near = power[np.abs(hertz - loudest) <= 10].sum() / power.sum()
    return round(float(loudest)), float(near)
