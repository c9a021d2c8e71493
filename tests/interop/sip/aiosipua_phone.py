"""A phone made with aiosipua, run by the Python that has it: told and telling by JSON lines.

It imports nothing of ours. Its media is an address only: what it is for is its signalling.
Faults of aiosipua 0.7.1 that the tests live with: it sends no request again over UDP; its requests
within a dialog go where the INVITE went, not where the Contact says; and on Python 3.11 it asserts
what does not hold of asyncio's datagram transports, so it runs without assertions (`-O`).
"""

import asyncio
import json
import sys
from typing import Any

from aiosipua import (  # type: ignore[import-not-found]
    IncomingCall,
    OutgoingCall,
    Registration,
    SipDigestAuth,
    SipUAC,
    SipUAS,
    build_sdp,
    negotiate_sdp,
)
from aiosipua.transport import TcpSipTransport, UdpSipTransport  # type: ignore[import-not-found]


def tell(event: str, **more: Any) -> None:
    print(json.dumps({"event": event, **more}), flush=True)


class Phone:
    """One line: it takes every call, and makes one at a time."""

    def __init__(self, host: str, port: int, rtp: int, transport: str) -> None:
        self._host, self._rtp = host, rtp
        kind = UdpSipTransport if transport == "udp" else TcpSipTransport
        self._wire = kind(local_addr=(host, port))
        self._uac = SipUAC(self._wire)
        self._uas = SipUAS(self._wire, uac=self._uac)
        self._uas.on_invite = self._invited
        self._uas.on_bye = lambda call, request: tell("hung_up", call_id=call.call_id)
        self._uas.on_transfer_progress = lambda call_id, status, reason: tell(
            "transfer", status=status
        )
        self._registration: Any = None
        self._call: Any = None
        self._kept: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        await self._uas.start()
        tell("listening")

    def _invited(self, call: IncomingCall) -> None:
        self._call = call
        call.ringing(reliable=call.supports_100rel)
        tell("invited", caller=call.caller, reliable=call.supports_100rel)
        self._later(self._accept(call))

    async def _accept(self, call: IncomingCall) -> None:
        while True:  # until the 180 is acknowledged, if it is a reliable one
            await asyncio.sleep(0.1)
            try:
                answer, _ = negotiate_sdp(
                    offer=call.sdp_offer, local_ip=self._host, rtp_port=self._rtp
                )
                call.accept(answer)
            except ValueError:
                continue
            tell("answered", call_id=call.call_id)
            return

    def _later(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._kept.add(task)
        task.add_done_callback(self._kept.discard)

    async def do(self, command: dict[str, Any]) -> None:
        """Carry out what a line says."""
        match command["do"]:
            case "connect":
                await self._wire.connect((command["server"], command["port"]))
                tell("connected")
            case "register":
                self._register(command)
            case "unregister":
                self._registration.unregister()
            case "call":
                self._later(self._invite(command))
            case "hang_up":
                if isinstance(self._call, OutgoingCall):
                    self._call.hangup(self._uac)
                else:
                    self._call.hangup()
                tell("let_go")
            case "hold":
                self._uac.send_reinvite(
                    self._call.dialog, sdp=self._offer("sendonly"), remote_addr=self._server
                )
            case "refer":
                self._uac.send_refer(self._call.dialog, command["to"], self._server)

    def _offer(self, direction: str = "sendrecv") -> Any:
        offer = build_sdp(
            local_ip=self._host, rtp_port=self._rtp, payload_type=0, codec_name="PCMU"
        )
        audio = offer.media[0].attributes
        audio.pop("sendrecv", None)
        audio[direction] = []
        return offer

    def _register(self, command: dict[str, Any]) -> None:
        self._registration = Registration(
            self._uac,
            command["aor"],
            (command["server"], command["port"]),
            auth=SipDigestAuth(command["user"], command["password"]),
            expires=120,
        )
        self._registration.on_registered = lambda it: tell("registered", expires=it.granted_expires)
        self._registration.on_failed = lambda it, status, reason: tell("failed", status=status)
        self._registration.register()

    async def _invite(self, command: dict[str, Any]) -> None:
        self._server = (command["server"], command["port"])
        auth = SipDigestAuth(command["user"], command["password"]) if command["user"] else None
        self._call = self._uac.send_invite(
            command["aor"], command["to"], self._server, self._offer(), auth=auth
        )
        try:
            await self._call.wait_answered(20)
        except (RuntimeError, TimeoutError) as error:
            tell("refused", reason=str(error))
        else:
            tell("talking", call_id=self._call.call_id)


async def main() -> None:
    """Until the input ends."""
    host, port, rtp, transport = sys.argv[1:5]
    phone = Phone(host, int(port), int(rtp), transport)
    await phone.start()
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    while line := await lines.readline():
        await phone.do(json.loads(line))


asyncio.run(main())
