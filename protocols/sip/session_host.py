"""What the sessions of one agent share: the layer, the tables, chance, and the way out.

A request of ours is an `Asked` from the moment it is made until its final response, however often
it goes out for that; an INVITE leaves a `Sent` behind for as long as 2xx may come to it.
"""

from collections import deque
from collections.abc import Callable, Hashable, Sized
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from protocols.sip.agent_commands import Settings
from protocols.sip.agent_events import Event, SessionId, TransferId
from protocols.sip.codec import check_said
from protocols.sip.derive import reply
from protocols.sip.dialog import Dialog
from protocols.sip.digest import Sessions
from protocols.sip.events import ClientId, ServerId
from protocols.sip.headers import Header
from protocols.sip.layer import TransactionLayer
from protocols.sip.message import NO_HEADERS, Headers, NameAddr, Request, Response
from protocols.sip.session_offers import SDP, Body, described
from protocols.sip.timers import Schedule
from protocols.sip.transport import Destination
from protocols.sip.uri import format_uri

if TYPE_CHECKING:
    from protocols.sip.session import Fork, Session

CREDENTIALS: Final = ("Authorization", "Proxy-Authorization")
"""The headers that authenticate us."""


class Purpose(StrEnum):
    """What a request of ours is for: who takes its response."""

    INVITE = "open a session"
    CHANGE = "offer or refresh"
    PRACK = "acknowledge a provisional response"
    BYE = "end a session"
    REFER = "transfer"
    NOTIFY = "tell of a transfer"
    ASK = "ask what the user wants to know"


class Asked:
    """A request of ours until its final response; `plain` is it without Via and credentials."""

    __slots__ = (
        "auth",
        "destination",
        "fork",
        "id",
        "note",
        "octets",
        "plain",
        "purpose",
        "sent",
        "session",
        "tries",
    )

    def __init__(
        self,
        purpose: Purpose,
        plain: Request,
        destination: Destination,
        *,
        session: "Session | None" = None,
        fork: "Fork | None" = None,
        auth: Sessions | None = None,
        note: Any = None,
    ) -> None:
        self.purpose = purpose
        self.plain = plain
        self.destination = destination
        self.session = session
        self.fork = fork
        self.auth = auth
        self.note = note
        self.id = ClientId(0)
        self.sent = plain
        self.octets = b""
        """Of `sent`, once it was saved."""
        self.tries = 0


class Sent:
    """An INVITE of ours as long as 2xx may come, whoever still wants them (RFC 6026 §8.4)."""

    __slots__ = ("acks", "auth", "destination", "dialog", "early", "request", "session")

    def __init__(self, asked: Asked) -> None:
        self.request = _for_acks(asked.sent)
        self.destination = asked.destination
        self.auth = asked.auth
        self.session = asked.session.id if asked.session else SessionId(0)
        self.dialog = asked.fork.dialog if asked.fork else None
        """That of a re-INVITE."""
        self.acks: dict[str, tuple[Request, Destination]] = {}
        """By the tag of the fork."""
        self.early: dict[str, Dialog] = {}
        """Dialogs that it opened, by tag, whatever became of them: their numbers go on."""


def _for_acks(invite: Request) -> Request:
    """What an INVITE has that its ACKs, and the dialogs that it opens, take from it."""
    lines = Headers(each for each in invite.headers if each[0] in CREDENTIALS)
    return replace(
        invite, vias=(), routes=(), contacts=(), record_routes=(), headers=lines, body=b""
    )


class Host:
    """What the sessions of one agent share: the layer, the tables, chance, and the way out."""

    __slots__ = (
        "_number",
        "abilities",
        "abilities_inside",
        "asked",
        "call_id",
        "chance",
        "contact",
        "dialogs",
        "events",
        "invites",
        "inviting",
        "layer",
        "overflow",
        "schedule",
        "serving",
        "sessions",
        "settings",
        "strays",
        "tag",
        "transfers",
    )

    def __init__(
        self,
        *,
        layer: TransactionLayer,
        settings: Settings,
        tag: Callable[[], str],
        call_id: Callable[[], str],
        chance: Callable[[], float],
        contact: Callable[[Destination], NameAddr],
        abilities: tuple[Header, ...],
        abilities_inside: tuple[Header, ...],
    ) -> None:
        self.layer = layer
        self.settings = settings
        self.tag = tag
        self.call_id = call_id
        self.chance = chance
        self.contact = contact
        self.abilities = abilities
        """Allow and Supported, as they go into what opens a session."""
        self.abilities_inside = abilities_inside
        """The same for what changes it, where nothing provisional is said (RFC 3262 §3)."""
        self.events: deque[Event] = deque()
        self.asked: dict[int, Asked] = {}
        self.overflow: list[Asked] = []
        """What the layer had no room for."""
        self.invites: dict[int, Sent] = {}
        self.inviting: dict[int, Session] = {}
        """Sessions by the peer's INVITE that can be cancelled."""
        self.serving: dict[int, Request] = {}
        """Requests of peers that the user answers by their key."""
        self.dialogs: dict[Hashable, tuple[Session, Fork]] = {}
        self.sessions: dict[SessionId, Session] = {}
        self.transfers: dict[TransferId, Any] = {}
        self.schedule = Schedule()
        self.strays = 0
        self._number = 0

    def take_number(self) -> int:
        """A number that no session, request or transfer has had."""
        self._number += 1
        return self._number

    def ledger(self) -> dict[str, int]:
        """What the tables hold, those that hold something."""
        tables: dict[str, Sized] = {
            "asked": self.asked,
            "overflow": self.overflow,
            "invites": self.invites,
            "inviting": self.inviting,
            "serving": self.serving,
            "dialogs": self.dialogs,
            "sessions": self.sessions,
            "transfers": self.transfers,
            "timers": self.schedule,
        }
        return {name: len(table) for name, table in tables.items() if len(table)}

    def check(
        self,
        headers: Headers = NO_HEADERS,
        *,
        reason: str = "",
        contacts: tuple[NameAddr, ...] = (),
        body: Body | None = None,
    ) -> None:
        """Raise `LocalProtocolError` for what can't be said, before anything waits for its turn."""
        if not headers and not reason and not contacts and (body is None or body.type == SDP):
            return
        check_said(described(headers, body)[0], reason=reason, contacts=contacts)

    def pause(self) -> Header:
        """When to ask again what can't be now: 0 to 10 seconds, by chance (§14.2)."""
        return "Retry-After", str(int(self.chance() * 11))

    def tell(self, event: Event) -> None:
        """Let the user read it, after all others."""
        self.events.append(event)

    def send(self, asked: Asked, now: float) -> None:
        """Send a request, or send it again as it is to be now."""
        layer = self.layer
        if layer.clients >= layer.limits.clients:
            self.overflow.append(asked)
            return
        request = asked.plain
        if asked.auth is not None and asked.auth.is_asked:
            uri = format_uri(request.uri)
            lines = asked.auth.authorize(request.method, uri, request.body)
            request = replace(request, headers=request.headers.with_(*lines))
        asked.id = layer.request(request, asked.destination, now)
        asked.sent, asked.octets = layer.sent(asked.id), b""
        asked.tries += 1
        self.asked[asked.id] = asked
        if asked.session is not None:
            asked.session.asking.add(asked.id)
        if request.method == "INVITE":
            self.invites[asked.id] = Sent(asked)

    def done(self, asked: Asked) -> None:
        """Its final response came, or never will."""
        self.asked.pop(asked.id, None)
        if asked.session is not None:
            asked.session.asking.discard(asked.id)

    def send_again(self, asked: Asked, now: float) -> None:
        """Send what was refused once more, as a new request (§8.1.3.5)."""
        dialog = asked.fork.dialog if asked.fork else None
        if dialog is None:
            cseq = asked.plain.cseq + 1
        else:
            dialog.local_cseq += 1
            cseq = dialog.local_cseq
        asked.plain = replace(asked.plain, cseq=cseq)
        self.send(asked, now)

    def compose(
        self,
        request: Request,
        status: int,
        *,
        tag: str = "",
        reason: str = "",
        headers: Headers = NO_HEADERS,
        contacts: tuple[NameAddr, ...] = (),
        body: Body | None = None,
    ) -> Response:
        """A response; one to a request outside dialogs gets `tag`, or one made for it."""
        if self.settings.software:
            headers = headers.with_(("Server", self.settings.software))
        headers, octets = described(headers, body)
        response = reply(
            request,
            status,
            tag=tag or ("" if request.to.tag else self.tag()),
            reason=reason,
            headers=headers,
            body=octets,
        )
        # §12.1.1: what opens a dialog says by which way.
        opens = request.method == "INVITE" and 100 < status < 300
        if not opens and not contacts:
            return response
        routes = request.record_routes if opens else ()
        return replace(response, contacts=contacts, record_routes=routes)

    def refuse(
        self, key: ServerId, request: Request, status: int, now: float, *headers: Header
    ) -> None:
        """Answer a request of a peer's with a status that says it all."""
        self.layer.respond(key, self.compose(request, status, headers=Headers(headers)), now)
