"""rtpengine as a relay beside ours: started in user space, told of calls by its ng protocol."""

import asyncio
import re
import shutil
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.media.ng import Ng, NgAway
from protocols.ng.bencode import Value
from protocols.sdp import codec as sdp
from protocols.sdp import webrtc
from protocols.sdp.formats import OPUS, PCMA, PCMU, Codec
from protocols.sdp.ice import IceSide

HOST = "127.0.0.1"
PATIENCE = 5.0  # seconds
_TRIES = 100
PROGRAM = "rtpengine"
_PORT = re.compile(r"m=audio (\d+)")
_PLAIN: Mapping[str, Value] = {"ICE": "remove"}
_TO_PHONE: Mapping[str, Value] = {
    "ICE": "remove",
    "DTLS": "off",
    "transport-protocol": "RTP/AVP",
    "rtcp-mux": ["demux"],
}
_TO_BROWSER: Mapping[str, Value] = {
    "ICE": "force",
    "transport-protocol": webrtc.PROTOCOL,
    "rtcp-mux": ["accept"],
}


def is_installed() -> bool:
    return shutil.which(PROGRAM) is not None


def _description(port: int, codec: Codec, more: Sequence[tuple[str, str | None]] = ()) -> str:
    """Of plain RTP, or of a browser where `more` says so."""
    channels = f"/{codec.channels}" if codec.channels > 1 else ""
    lines = (
        "v=0",
        f"o=bench 1 1 IN IP4 {HOST}",
        "s=-",
        f"c=IN IP4 {HOST}",
        "t=0 0",
        f"m=audio {port} {webrtc.PROTOCOL if more else 'RTP/AVP'} {codec.payload_type}",
        f"a=rtpmap:{codec.payload_type} {codec.name}/{codec.clock_rate}{channels}",
        *(f"a={name}" if value is None else f"a={name}:{value}" for name, value in more),
    )
    return "".join(f"{line}\r\n" for line in lines)


def _free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as made:
        made.bind((HOST, 0))
        port: int = made.getsockname()[1]
    return port


class Relay:
    """One rtpengine."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._address = (HOST, _free_port(socket.SOCK_DGRAM))
        self._ng = Ng(self._address, patience=PATIENCE)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start it with one thread for packets, as a worker of ours has one."""
        self._process = await asyncio.create_subprocess_exec(
            PROGRAM,
            "--config-file=none",
            "--table=-1",
            f"--interface={HOST}",
            f"--listen-ng={HOST}:{self._address[1]}",
            f"--listen-cli={HOST}:{_free_port(socket.SOCK_STREAM)}",
            "--port-min=32000",
            "--port-max=60000",
            "--num-threads=1",
            "--log-level=2",
            "--log-stderr",
            "--foreground",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        for _ in range(_TRIES):
            try:
                await self._ng.ask("ping")
            except NgAway:
                await asyncio.sleep(0.1)
            else:
                return
        raise SystemExit(f"rtpengine does not answer at {self._address}")

    async def place(self, ports: list[int]) -> list[int]:
        """Calls of two legs each; where each leg is to send to."""
        targets = []
        for number in range(0, len(ports), 2):
            offer, answer = (_description(port, PCMA) for port in ports[number : number + 2])
            to_b = await self._tell("offer", f"call{number}", offer, _PLAIN)
            to_a = await self._tell("answer", f"call{number}", answer, _PLAIN)
            targets += [_port(to_a), _port(to_b)]
        return targets

    async def browse(
        self, call: str, side: IceSide, port: int, codec: Codec
    ) -> tuple[IceSide, int]:
        """A call of a browser and a phone with PCMU: where each is to send to."""
        attributes = (("rtcp-mux", None), *webrtc.attributes_of(side, "0"))
        offer = _description(webrtc.default_of(side)[1], codec, attributes)
        more: dict[str, Value] = {"codec": {"strip": ["opus"], "transcode": ["PCMU"]}}
        wanted = {**_TO_PHONE, **(more if codec is OPUS else {})}
        to_phone = await self._tell("offer", call, offer, wanted)
        to_browser = await self._tell("answer", call, _description(port, PCMU), _TO_BROWSER)
        answer = sdp.read(to_browser.encode())
        found = webrtc.side_of(answer, answer.media[0])
        if found is None:
            raise SystemExit(f"rtpengine: {to_browser}")
        return found, _port(to_phone)

    async def _tell(self, verb: str, call: str, said: str, more: Mapping[str, Value]) -> str:
        fields: dict[str, Value] = {"call-id": call, "from-tag": "a", "to-tag": "b", "sdp": said}
        answer: dict[str, Any] = await self._ng.ask(verb, **fields, **more)
        return str(answer["sdp"])

    async def end(self, call: str) -> None:
        await self._ng.ask("delete", call_id=call, delete_delay=0)

    async def close(self) -> None:
        await self._ng.close()
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()


def _port(answer: str) -> int:
    found = _PORT.search(answer)
    if found is None:
        raise SystemExit(f"rtpengine: {answer!r}")
    return int(found[1])
