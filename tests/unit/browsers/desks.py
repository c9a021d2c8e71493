"""A desk with clients whose sockets are lists, for the tests beside it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.access.tokens import Believed
from gateway.browsers.client import Client
from gateway.browsers.desk import Desk, Wanted
from gateway.calls.browser import Dialogue
from gateway.calls.call_messages import Said
from gateway.store.base import StoreUnavailable
from protocols.sip.station import Crossed
from protocols.sip.transport import Flow, Transport
from protocols.voicesdk.errors import Code, Fault
from protocols.voicesdk.session import Session

NOW = 1_790_000_000.0
OURS = "AC" + "1" * 32
THEIRS = "AC" + "2" * 32
APPLICATION = "AP" + "3" * 32
KEY = "SK" + "5" * 32
SID = "CA" + "4" * 32


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """A token's grants, as `client.Access`."""

    account_sid: str = OURS
    key_sid: str = KEY
    identity: str = "alice"
    expires: float = NOW + 3600
    incoming_allow: bool = True
    outgoing_application_sid: str = APPLICATION
    outgoing_params: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Leg:
    """What a leg was told."""

    told: list[tuple[str, str]] = field(default_factory=list)

    def on_answered(self, sdp: str) -> None:
        self.told.append(("answered", sdp))

    def on_rejected(self) -> None:
        self.told.append(("rejected", ""))

    def on_offered(self, sdp: str) -> None:
        self.told.append(("offered", sdp))

    def on_pressed(self, digits: str) -> None:
        if digits == "D":
            raise RuntimeError("what a leg can't cope with")
        self.told.append(("pressed", digits))

    def on_hung_up(self, message: str) -> None:
        self.told.append(("hung up", message))

    def on_fault(self) -> None:
        self.told.append(("fault", ""))

    def on_lost(self, reason: str) -> None:
        self.told.append(("lost", reason))


class Page:
    """A client at one end, and what it heard."""

    def __init__(self, world: "World") -> None:
        self.client = Client(
            world.desk,
            Session(0.0),
            Flow(
                id=0, transport=Transport.WS, local=("127.0.0.1", 1), remote=("192.0.2.7", 40_000)
            ),
            now=lambda: 0.0,
            proof=world.proof,
            tap=world.tap,
            wake=lambda: None,
        )

    def says(self, kind: str, **payload: Any) -> None:
        self.client.receive_text(json.dumps({"type": kind, "payload": payload}))

    def hears(self) -> list[tuple[str, dict[str, Any]]]:
        frames = [json.loads(each) for each in self.client.outbox]
        self.client.outbox.clear()
        return [(each["type"], each["payload"]) for each in frames]


class World:
    """A desk, the tokens that it knows, and what became of what clients want."""

    def __init__(self) -> None:
        self.tokens: dict[str, Allowed] = {
            "alice": Allowed(),
            "bob": Allowed(identity="bob"),
            "theirs": Allowed(account_sid=THEIRS),
            "deaf": Allowed(incoming_allow=False, outgoing_application_sid=""),
        }
        self.wanted: list[Wanted] = []
        self.refusal: Fault | None = None
        self.heard: list[tuple[str, str, Said]] = []
        self.is_store_away = False
        self.ladder: list[tuple[str, Crossed]] = []
        self.leg = Leg()
        self.dialogue: Dialogue | None = None
        self.now = NOW
        self.gone: set[str] = set()  # keys
        self._proofs = 0
        self.desk = Desk(
            verify=self._verify,
            doubt=self._doubt,
            heard=self._hear,
            clock=lambda: self.now,
            message_sid=lambda: "KX",
            gateway="gw",
            edge="here",
        )
        self.desk.furnish(self)

    def call(self, wanted: Wanted) -> Fault | None:
        """See `desk.Callers`."""
        self.wanted.append(wanted)
        if self.refusal is None:
            self.dialogue = wanted.open(SID, f"{SID}.1", self.leg)
        return self.refusal

    def proof(self) -> str:
        self._proofs += 1
        return f"proof {self._proofs}"

    def tap(self, name: str, crossed: Crossed) -> None:
        self.ladder.append((name, crossed))

    async def _verify(self, token: str) -> Allowed | Fault:
        if self.is_store_away:
            raise StoreUnavailable("away")
        found = self.tokens.get(token)
        return found or Fault(code=Code.BAD_TOKEN, message="no token of ours")

    def _doubt(self, access: Believed) -> Fault | None:
        if access.key_sid in self.gone:
            return Fault(code=Code.BAD_TOKEN, message="its key is gone")
        expired = Fault(code=Code.TOKEN_EXPIRED, message="it expired")
        return expired if access.expires <= self.now else None

    async def _hear(self, account_sid: str, sid: str, said: Said) -> None:
        if self.is_store_away:
            raise StoreUnavailable("away")
        self.heard.append((account_sid, sid, said))
