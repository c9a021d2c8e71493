"""What a session is made of, and what all of its parts do: ask, answer, close, end.

A session is one call from one side, the whole way from its INVITE until nothing is left of it
(RFC 3261 §13 to §15). Its parts are `session_calling` (our first INVITE), `session_called` (a
peer's), `session_changes` (our offers in it, refreshes), `session_offered` (the peer's) and
`session_transfer`; each is functions over
the values here. What sessions share is in `session_host`.
"""

from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache
from math import inf
from typing import Any, Final

from protocols.sip import agent_events as events
from protocols.sip.agent_commands import Acknowledge
from protocols.sip.agent_events import Cause, SessionId
from protocols.sip.dialog import Dialog
from protocols.sip.digest import Sessions
from protocols.sip.errors import RemoteProtocolError
from protocols.sip.events import ServerId
from protocols.sip.headers import read_tokens
from protocols.sip.message import (
    NO_HEADERS,
    Headers,
    Message,
    NameAddr,
    Request,
    Response,
    Via,
)
from protocols.sip.next_hop import found, hop_to, is_behind, leads_to
from protocols.sip.pace import Pace
from protocols.sip.session_host import CREDENTIALS, Asked, Host, Purpose
from protocols.sip.session_offers import Body, Offers, Pending, described
from protocols.sip.session_refresh import Clock, Wish
from protocols.sip.session_reliable import Receiver, Sender
from protocols.sip.transport import RELIABLE, SECURE, Destination, Flow, Hop
from protocols.sip.uri import Uri

_NOTHING: Final[frozenset[str]] = frozenset()


class State(StrEnum):
    """How far a session is."""

    CALLING = "our INVITE waits for its answer"
    CALLED = "the peer's INVITE waits for ours"
    ANSWERED = "the peer's offer in its 2xx waits for our answer"
    ACCEPTED = "our 2xx waits for its ACK"
    UP = "the call stands"
    ENDING = "our BYE waits for its answer"
    ENDED = "it is over"


EARLY: Final = frozenset({State.CALLING, State.CALLED})
"""Before the 2xx there is no session that could expire."""


class Waiting:
    """A request of the peer's that changes a session and waits for our answer."""

    __slots__ = ("fork", "key", "request")

    def __init__(self, key: ServerId, request: Request, fork: "Fork") -> None:
        self.key = key
        self.request = request
        self.fork = fork


class Unconfirmed:
    """Our 2xx to an INVITE until its ACK comes: said again and again (RFC 3261 §13.3.1.4)."""

    __slots__ = ("again_at", "fork", "gives_up_at", "interval", "key", "response")

    def __init__(
        self, key: ServerId, response: Response, fork: "Fork", t1: float, now: float
    ) -> None:
        self.key = key
        self.response = response
        self.fork = fork
        self.interval = t1
        self.again_at = now + t1
        self.gives_up_at = now + 64 * t1


class Fork:
    """One dialog of a session, and what was offered in it; `supports` in small letters."""

    __slots__ = (
        "allows",
        "awaiting",
        "destination",
        "dialog",
        "name",
        "offers",
        "receiver",
        "supports",
    )

    def __init__(self, dialog: Dialog) -> None:
        self.dialog = dialog
        self.name = dialog.remote.tag
        """As events and commands call it: the peer's tag."""
        self.destination: Destination | None = None
        """Where its requests go, once that is another place than the session's."""
        self.offers = Offers()
        self.receiver = Receiver()
        self.awaiting: Response | None = None
        """The reliable response that our answer acknowledges."""
        self.allows = _NOTHING
        self.supports = _NOTHING

    def learn(self, message: Message) -> None:
        """What the peer says it can do; what can't be read is none."""
        headers = message.headers
        self.allows = _read(headers, "Allow", _tokens, self.allows)
        self.supports = _read(headers, "Supported", _small_tokens, self.supports)


class Session:
    """See the module."""

    __slots__ = (
        "accepting",
        "acknowledging",
        "answerable",
        "asking",
        "asking_invite",
        "auth",
        "cancelled",
        "cause",
        "change",
        "clock",
        "contact",
        "destination",
        "fork",
        "forks",
        "hanging",
        "host",
        "id",
        "invite",
        "key",
        "pace",
        "pracked",
        "refresh",
        "reinvited",
        "reliable",
        "retry_at",
        "said",
        "say_again_at",
        "sender",
        "state",
        "transfers",
        "unacknowledged",
        "unconfirmed",
        "updated",
        "via",
        "wanted",
    )

    def __init__(
        self,
        host: Host,
        state: State,
        invite: Request,
        destination: Destination,
        *,
        contact: NameAddr,
        auth: Sessions | None = None,
    ) -> None:
        self.host = host
        self.id = SessionId(host.take_number())
        self.state = state
        self.invite = invite
        """The INVITE that began it; ours is replaced when it goes out again."""
        self.destination = destination
        self.contact = contact
        self.auth = auth
        self.refresh: Wish = host.settings.refresh
        self.forks: dict[str, Fork] = {}
        """Dialogs by the peer's tag: early ones, and in the end the one that `fork` is."""
        self.fork: Fork | None = None
        self.asking: set[int] = set()
        """Its requests that have no final response yet."""
        # We called
        self.asking_invite: Asked | None = None
        self.acknowledging = Acknowledge.AT_ONCE
        self.cancelled: Headers | None = None
        self.unacknowledged: Asked | None = None
        """The INVITE whose 2xx waits for its ACK: for the answer to its offer, or for the word."""
        # We were called
        self.key = ServerId(0)
        self.via: Via | None = None
        """The topmost of the INVITE."""
        self.answerable = b""
        """What of the INVITE a response repeats, once that was saved."""
        self.reliable = _NOTHING
        self.sender: Sender | None = None
        self.said: Response | None = None
        """How it goes, as it was said last before the answer, and when to say that again."""
        self.say_again_at = inf
        self.accepting: Any = None
        """An `Accept` that waits until what was said before has arrived."""
        self.unconfirmed: Unconfirmed | None = None
        self.cause = Cause.CLOSED
        """Why our BYE goes out, if it does."""
        self.hanging: Headers | None = None
        """A BYE that waits for the ACK of our 2xx."""
        # It changes
        self.change: Asked | None = None
        self.wanted: Any = None
        self.retry_at = inf
        self.reinvited: Waiting | None = None
        self.updated: Waiting | None = None
        self.pracked: Waiting | None = None
        self.clock = Clock()
        self.pace: Pace | None = None
        """How often the peer has asked, once it has."""
        self.transfers: dict[str, Any] = {}
        host.sessions[self.id] = self

    def arm(self) -> None:
        """Have it woken when something is due."""
        clock, sender, unconfirmed = self.clock, self.sender, self.unconfirmed
        first = min(clock.refresh_at, clock.ends_at, self.retry_at, self.say_again_at)
        if sender is not None:
            first = min(first, sender.deadline)
        if unconfirmed is not None:
            first = min(first, unconfirmed.again_at, unconfirmed.gives_up_at)
        self.host.schedule.arm(self.id, first)

    def add(self, fork: Fork) -> Fork:
        """Let a dialog of it be found by the peer's requests."""
        self.forks[fork.name] = fork
        self.host.dialogs[fork.dialog.key] = (self, fork)
        return fork

    def pick(self, name: str) -> Fork | None:
        """The dialog of this name; for "" the call's, or an early one that an offer waits in."""
        if name:
            return self.forks.get(name)
        if self.fork is not None:
            return self.fork
        forks = list(self.forks.values())
        waiting = [each for each in forks if each.offers.pending is Pending.THEIRS]
        return next(iter(waiting or forks), None)

    def drop(self, fork: Fork) -> None:
        """Forget a dialog."""
        if self.forks.get(fork.name) is fork:
            del self.forks[fork.name]
        self.host.dialogs.pop(fork.dialog.key, None)

    def ask(
        self,
        purpose: Purpose,
        fork: Fork,
        method: str,
        now: float,
        *,
        headers: Headers = NO_HEADERS,
        body: Body | None = None,
        note: Any = None,
    ) -> Asked:
        """Send a request in a dialog; in those that set its target we name our contact (§12.2)."""
        if self.host.settings.software:
            headers = headers.with_(("User-Agent", self.host.settings.software))
        headers, octets = described(headers, body)
        plain = fork.dialog.request(
            method,
            contacts=(self.contact,) if method in _WITH_CONTACT else (),
            headers=headers,
            body=octets,
        )
        asked = Asked(
            purpose,
            plain,
            self.way(fork),
            session=self,
            fork=fork,
            auth=self.auth,
            note=note,
        )
        self.host.send(asked, now)
        return asked

    def is_asking(self, purpose: Purpose) -> bool:
        """Whether a request of this kind waits for its response."""
        asked = self.host.asked
        return any(asked[id].purpose is purpose for id in self.asking)

    def acknowledge(self, asked: Asked, fork: Fork, body: Body | None) -> None:
        """Send the ACK of a 2xx, with the credentials of its INVITE (§22.1)."""
        host = self.host
        lines = [each for each in asked.sent.headers if each[0] in CREDENTIALS]
        headers, octets = described(Headers(lines), body)
        ack = fork.dialog.request("ACK", cseq=asked.sent.cseq, headers=headers, body=octets)
        way = self.way(fork)
        sent = host.layer.send(ack, way)
        assert isinstance(sent, Request)
        waits = host.invites.get(asked.id)  # a word that comes late finds it gone
        if waits is not None:
            waits.acks[fork.name] = (sent, way)

    def way(self, fork: Fork) -> Destination:
        """Where the requests of a dialog go."""
        return fork.destination or self.destination

    def hear_by(self, fork: Fork, request: Request, flow: Flow) -> None:
        """The peer asks by another flow than the one that it is reached by: there it is now.

        Not so one of several machines of a carrier's, which names the place that we know.
        """
        known = self.destination
        if not isinstance(known, Flow) or known == flow or fork.dialog.routes:
            return
        target = request.contacts[0].uri if request.contacts else fork.dialog.target
        secured = flow.transport in SECURE or known.transport not in SECURE
        if secured and not leads_to(known, target):
            self.destination = flow

    def follow(self, fork: Fork) -> Uri | None:
        """Let the requests of a dialog go where its next hop is; what is left is to be looked up.

        See `next_hop`: a peer behind NAT is left where it is.
        """
        where = found(self.way(fork), fork.dialog, self.via)
        if not isinstance(where, Hop):
            return where
        fork.destination = where
        return None

    def go_around(self, fork: Fork) -> bool:
        """Whether there is another way to a peer whose connection is gone: it is taken then."""
        way = self.way(fork)
        if not isinstance(way, Flow) or way.transport not in RELIABLE:
            return False
        hop = hop_to(way, fork.dialog.next_hop)
        if hop is None or is_behind(way, hop):
            return False
        fork.destination = hop
        return True

    def look_for(self, fork: Fork, uri: Uri | None) -> None:
        """Say that a name has to be looked up for a dialog, if `follow` has left one."""
        if uri is not None:
            self.host.tell(events.NextHopNeeded(session=self.id, fork=fork.name, uri=uri))

    def close(self, headers: Headers, now: float, cause: Cause = Cause.CLOSED) -> None:
        """Send BYE in the dialog that stands; `Ended` follows its answer."""
        if self.state in (State.ENDING, State.ENDED) or self.fork is None:
            return
        self.abandon(now)
        self.cause = cause
        self.state = State.ENDING
        self.ask(Purpose.BYE, self.fork, "BYE", now, headers=headers)

    def abandon(self, now: float) -> None:
        """Let go of all that is under way: peers' requests get 487 (§15.1.2), timers stop."""
        host = self.host
        for waiting in (self.reinvited, self.updated, self.pracked):
            if waiting is not None:
                host.inviting.pop(waiting.key, None)
                host.refuse(waiting.key, waiting.request, 487, now)
        self.reinvited = self.updated = self.pracked = None
        if self.change is not None and self.change.sent.method == "INVITE":
            host.layer.cancel(self.change.id, NO_HEADERS, now)
        self.change = self.wanted = self.accepting = None
        self.unconfirmed = self.hanging = self.unacknowledged = None
        self.retry_at = self.say_again_at = inf
        self.clock.stop()
        if self.sender is not None:
            self.sender.stop()

    def end(self, cause: Cause, now: float) -> None:
        """Forget it; `Ended` is the last that is told of it."""
        if self.state is State.ENDED:
            return
        self.abandon(now)
        self.state = State.ENDED
        host = self.host
        for fork in list(self.forks.values()):
            self.drop(fork)
        for id in self.asking:
            del host.asked[id]
        self.asking.clear()
        self.asking_invite = None
        for transfer in self.transfers.values():
            host.transfers.pop(transfer.id, None)
        host.inviting.pop(self.key, None)
        host.schedule.forget(self.id)
        del host.sessions[self.id]
        host.tell(events.Ended(session=self.id, cause=cause))


_WITH_CONTACT: Final = frozenset({"INVITE", "UPDATE", "REFER", "NOTIFY"})


def options(headers: Headers, name: str) -> frozenset[str]:
    """Option tags of a peer's in small letters; what can't be read is none."""
    return _read(headers, name, _small_tokens, _NOTHING)


def _read(
    headers: Headers,
    name: str,
    read: Callable[[str], frozenset[str]],
    unsaid: frozenset[str],
) -> frozenset[str]:
    lines = headers.all(name)
    return read(", ".join(lines)) if lines else unsaid


# A peer says the same in every message.
@lru_cache(maxsize=512)
def _tokens(text: str) -> frozenset[str]:
    try:
        return frozenset(read_tokens(Headers((("Allow", text),)), "Allow") or ())
    except RemoteProtocolError:
        return _NOTHING


@lru_cache(maxsize=512)
def _small_tokens(text: str) -> frozenset[str]:
    return frozenset(each.lower() for each in _tokens(text))
