"""A registration of ours at a carrier (RFC 3261 §10.2): made, refreshed, moved, taken back.

It asks one of several servers, the first of them if it can, and goes on to the next when one fails.
Requests are taken from `next_request` and sent by whoever has transactions; what became of them is
told by `responded` or `failed`. One request is under way at a time. With an instance the flow is
one of RFC 5626. `now` is in seconds of a clock that never goes back.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from protocols.sip.digest import Rejected, Rejection, Sessions
from protocols.sip.errors import RemoteProtocolError
from protocols.sip.headers import read_count, read_retry_after
from protocols.sip.message import Headers, NameAddr, Request, Response
from protocols.sip.registration_answer import Granted, read_granted
from protocols.sip.registration_events import (
    Event,
    Expired,
    Failed,
    GaveUp,
    Patience,
    Registered,
    Sending,
    Standing,
    State,
    Terms,
    Unregistered,
)
from protocols.sip.uri import SipUri, format_uri

_MAX_TRIES: Final = 8  # of one request at one server: challenges, a longer time, without outbound
_LATEST: Final = 64.0  # seconds before the end that a refresh leaves for two servers to be silent
_SOONEST: Final = 5.0  # seconds between two registrations, whatever a server grants
_CHALLENGES: Final = frozenset({401, 407})
# The account is at fault and not the server: the next one would say the same (RFC 3261 §21.4).
_REFUSALS: Final = frozenset({400, 401, 402, 403, 404, 405, 407, 410, 416, 420, 423, 604})
_LONGEST_EXPIRES: Final = 86_400


class Registration:
    """One address-of-record with one contact of ours at one registrar.

    `call_id` is the same for all requests, `tag` makes From tags, `random` gives 0 to 1: times are
    spread by it, so that many registrations do not come back in step.
    """

    def __init__(
        self,
        terms: Terms,
        sessions: Sessions,
        *,
        call_id: str,
        tag: Callable[[], str],
        random: Callable[[], float],
        patience: Patience | None = None,
    ) -> None:
        self._terms = terms
        self._sessions = sessions
        self._patience = patience or Patience()
        self._call_id = call_id
        self._tag = tag
        self._random = random
        self._events: deque[Event] = deque()
        self._state = State.IDLE
        self._cseq = 0
        self._expires = terms.expires
        self._outbound = bool(terms.instance)
        self._resting: dict[int, float] = {}
        self._tried: set[int] = set()
        self._server = 0
        self._asked: Request | None = None
        self._tries = 0
        self._granted: Granted | None = None
        self._at: int | None = None
        self._due: float | None = None
        self._outgoing: Sending | None = None
        self._failures = self._refusals = 0
        self._reason = ""

    # What is asked of it

    def start(self, now: float) -> None:
        """Register; also after it gave up, from the beginning."""
        if self._state in (State.IDLE, State.GAVE_UP):
            self._state = State.TRYING
            self._failures = self._refusals = 0
            self._begin_round(now)

    def close(self, now: float) -> None:
        """Take the registration back; `Unregistered` ends it, whatever the server says."""
        if self._state in (State.CLOSING, State.CLOSED):
            return
        self._state = State.CLOSING
        self._due = None
        if self._asked is not None and self._outgoing is None:
            return  # RFC 3261 §10.2: one request at a time; the answer to this one goes on
        self._asked = self._outgoing = None
        self._take_back(now)

    def flow_lost(self, reason: str, now: float) -> None:
        """The connection that it was registered over is gone: register again soon."""
        if self._state is not State.REGISTERED or self._asked is not None:
            return
        self._reason = reason
        self._due = now + self._spread(self._patience.flow)

    def next_request(self) -> Sending | None:
        """What is to be sent; without Via, which the transaction adds."""
        sending, self._outgoing = self._outgoing, None
        return sending

    def reached_at(self, contact: NameAddr) -> Request | None:
        """Let the server that is asked reach us at `contact`: the request as it goes out now.

        It is known only where the request goes; those that follow name it too. What is taken back
        keeps the contact that was registered. None if nothing is asked.
        """
        asked = self._asked
        if asked is None or _is_end(asked):
            return asked
        ours = asked.contacts[0].params[len(self._terms.contact.params) :]
        self._terms = msgspec.structs.replace(self._terms, contact=contact)
        named = msgspec.structs.replace(contact, params=(*contact.params, *ours))
        self._asked = msgspec.structs.replace(asked, contacts=(named,))
        return self._asked

    def next_event(self) -> Event | None:
        """What happened, in its order."""
        return self._events.popleft() if self._events else None

    def timer(self) -> float | None:
        """When to call `handle_timer` next."""
        ends = self._granted.expires_at if self._granted is not None else None
        return min((at for at in (self._due, ends) if at is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """Do what is due by `now`."""
        granted = self._granted
        if granted is not None and granted.expires_at <= now:
            self._granted = self._at = None
            if self._state is State.REGISTERED:
                self._state = State.TRYING
                self._events.append(Expired(reason=self._reason))
        if self._due is not None and self._due <= now and self._asked is None:
            self._begin_round(now)

    def standing(self) -> Standing:
        """How it is now, for a person."""
        granted = self._granted
        return Standing(
            state=self._state,
            server=None if self._at is None else self._terms.servers[self._at],
            expires_at=None if granted is None else granted.expires_at,
            next_at=self._due,
            failures=self._failures + self._refusals,
            reason=self._reason,
        )

    @property
    def service_route(self) -> tuple[NameAddr, ...]:
        """What requests of ours go by while the registration stands (RFC 3608)."""
        return () if self._granted is None else self._granted.service_route

    # What became of a request

    def responded(self, response: Response, now: float) -> None:
        """A final response of the server; one to another request than the last is passed over."""
        asked = self._asked
        if asked is None or response.cseq != asked.cseq or not response.is_final:
            return
        status = response.status
        if status in _CHALLENGES:
            self._challenged(asked, response, now)
            return
        self._sessions.accepted(asked.headers, response.headers)
        if self._state is State.CLOSING:
            self._closed_by(asked, response, now)
        elif status < 300:
            self._succeeded(asked, response, now)
        elif status == 423 and self._take_longer(response):
            self._ask()
        elif status == 439 and self._outbound:
            # RFC 5626 §4.2.1: the first hop keeps no flows; an ordinary registration then.
            self._outbound = False
            self._ask()
        else:
            self._rest(response, now)
            self._fail(f"{status} {response.reason}", status, now)

    def failed(self, reason: str, now: float) -> None:
        """The request under way was not answered: silence, or nobody to send it to."""
        asked = self._asked
        if asked is None:
            return
        if self._state is State.CLOSING:
            self._after_closing(asked, reason, now)
        else:
            self._fail(reason, 0, now)

    def _challenged(self, asked: Request, response: Response, now: float) -> None:
        verdict = self._sessions.challenged(asked.headers, response.headers, tries=self._tries)
        if not isinstance(verdict, Rejected) and self._tries < _MAX_TRIES:
            if self._state is State.CLOSING:
                self._ask_again(asked)
            else:
                self._ask()
            return
        why = verdict.reason if isinstance(verdict, Rejected) else Rejection.TRIES
        reason = f"{response.status} {response.reason}: {why}"
        if self._state is State.CLOSING:
            self._after_closing(asked, reason, now)
        else:
            self._fail(reason, response.status, now)

    def _succeeded(self, asked: Request, response: Response, now: float) -> None:
        granted = read_granted(asked, response, now)
        if granted is None:
            self._fail("the server does not keep our contact", response.status, now)
            return
        was, self._granted = self._granted, granted
        moved = self._at != self._server
        self._at = self._server
        self._asked = None
        self._failures = self._refusals = 0
        self._reason = ""
        self._state = State.REGISTERED
        self._due = now + self._refresh_after(granted.expires_at - now)
        if self._at:
            self._due = min(self._due, now + self._patience.back)
        self._events.append(
            Registered(
                server=self._terms.servers[self._at],
                expires_at=granted.expires_at,
                service_route=granted.service_route,
                outbound=granted.outbound,
                flow_timer=granted.flow_timer,
                refreshed=was is not None and not moved,
            )
        )

    def _refresh_after(self, seconds: float) -> float:
        latest = max(seconds / 2, seconds - _LATEST)
        return max(_SOONEST, latest * (0.85 + 0.15 * self._random()))

    def _take_longer(self, response: Response) -> bool:
        """Whether 423 names a time that we can take (§10.2.8)."""
        try:
            least = read_count(response.headers, "Min-Expires")
        except RemoteProtocolError:
            return False
        if least is None or not self._expires < least <= _LONGEST_EXPIRES:
            return False
        self._expires = least
        return self._tries < _MAX_TRIES

    def _rest(self, response: Response, now: float) -> None:
        """Retry-After rests the server that sent it, and no other."""
        try:
            after = read_retry_after(response.headers)
        except RemoteProtocolError:
            return
        if after is not None:
            self._resting[self._server] = now + min(after.seconds, self._patience.rest)

    def _fail(self, reason: str, status: int, now: float) -> None:
        """Go on to the next server, or wait when all were asked or the account is at fault."""
        self._asked = None
        self._reason = reason
        self._tried.add(self._server)
        server = self._terms.servers[self._server]
        following = None
        if status not in _REFUSALS:
            following = self._next_server(now)
        elif self._at not in (None, self._server):
            # Another server has us: what stands there is not given up for this one's word.
            self._resting[self._server] = now + self._patience.longest_refused
            following = self._next_server(now)
        if following is None:
            self._wait(status, now)
        self._events.append(
            Failed(
                server=server,
                status=status,
                reason=reason,
                retry_at=now if following is not None else self._due,
            )
        )
        if self._state is State.GAVE_UP:
            self._events.append(GaveUp(reason=reason))
        if following is not None:
            self._server = following
            self._tries = 0
            self._ask()

    def _wait(self, status: int, now: float) -> None:
        patience = self._patience
        if status in _REFUSALS:
            self._refusals += 1
            if self._refusals >= patience.refusals:
                # Asking on would get the account locked, and no request of ours mends it.
                self._state = State.GAVE_UP
                self._due = None
                return
            delay = min(patience.longest_refused, patience.refused * 2 ** (self._refusals - 1))
        else:
            self._failures += 1
            delay = min(patience.longest, patience.first * 2 ** min(self._failures - 1, 20))
        self._due = max(now + self._spread(delay), self._earliest(now))

    def _earliest(self, now: float) -> float:
        """When the first server rests no more."""
        return min(self._resting.get(each, now) for each in range(len(self._terms.servers)))

    def _spread(self, delay: float) -> float:
        return delay * (0.5 + self._random() / 2)

    # What is asked of a server

    def _begin_round(self, now: float) -> None:
        self._tried.clear()
        self._due = None
        first = self._next_server(now)
        if first is None:
            self._due = self._earliest(now)
            return
        self._server = first
        self._tries = 0
        self._ask()

    def _next_server(self, now: float) -> int | None:
        """The first that was not asked in this round and does not rest."""
        for each in range(len(self._terms.servers)):
            if each not in self._tried and self._resting.get(each, now) <= now:
                return each
        return None

    def _ask(self) -> None:
        terms = self._terms
        params = [*terms.contact.params, ("expires", str(self._expires))]
        supported = "path"
        if self._outbound:
            params += [
                ("+sip.instance", f'"<{terms.instance}>"'),
                ("reg-id", str(terms.reg_id)),
            ]
            supported = "path, outbound"
        contact = msgspec.structs.replace(terms.contact, params=tuple(params))
        self._send(contact, (("Supported", supported), ("Expires", str(self._expires))))

    def _take_back(self, now: float) -> None:
        """Ask for the end of what stands; without anything that stands it is over."""
        if self._granted is None or self._at is None or self._granted.expires_at <= now:
            self._end("")
            return
        self._server = self._at
        self._tries = 0
        kept = self._granted.contact
        params = tuple(each for each in kept.params if each[0] != "expires")
        contact = msgspec.structs.replace(kept, params=(*params, ("expires", "0")))
        supported = "path, outbound" if self._outbound else "path"
        self._send(contact, (("Supported", supported), ("Expires", "0")))

    def _ask_again(self, asked: Request) -> None:
        """The same once more, with the credentials that were asked for."""
        lines = asked.headers.without("Authorization", "Proxy-Authorization")
        self._send(asked.contacts[0], tuple(lines))

    def _send(self, contact: NameAddr, headers: tuple[tuple[str, str], ...]) -> None:
        terms = self._terms
        self._cseq += 1
        self._tries += 1
        uri = format_uri(terms.registrar)
        request = Request(
            method="REGISTER",
            uri=terms.registrar,
            vias=(),
            from_=msgspec.structs.replace(terms.aor, params=(("tag", self._tag()),)),
            to=terms.aor,
            call_id=self._call_id,
            cseq=self._cseq,
            contacts=(contact,),
            headers=Headers((*self._sessions.authorize("REGISTER", uri), *headers)),
        )
        self._asked = request
        self._outgoing = Sending(request=request, server=self._server_uri())

    def _server_uri(self) -> SipUri:
        return self._terms.servers[self._server]

    # The end

    def _closed_by(self, asked: Request, response: Response, now: float) -> None:
        status = response.status
        if not _is_end(asked) and status < 300:
            self._granted = read_granted(asked, response, now)
            self._at = self._server
        reason = "" if status < 300 else f"{status} {response.reason}"
        self._after_closing(asked, reason, now)

    def _after_closing(self, asked: Request, reason: str, now: float) -> None:
        self._asked = None
        if _is_end(asked):
            self._end(reason)
        else:
            self._take_back(now)

    def _end(self, reason: str) -> None:
        self._granted = self._at = self._due = None
        self._state = State.CLOSED
        self._reason = reason
        self._events.append(Unregistered(reason=reason))


def _is_end(asked: Request) -> bool:
    return asked.headers.first("Expires") == "0"
