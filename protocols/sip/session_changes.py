"""Our offers in a session, by re-INVITE and UPDATE (RFC 3261 §14, RFC 3311), and its refreshes.

There is one change of ours at a time; what can't go out yet waits. When both sides offer at once
each refuses the other with 491, and ours goes again after a time that chance picks. Refreshes of
the session timer are changes that change nothing (RFC 4028 §7.4).
"""

from enum import StrEnum
from math import inf
from typing import Final

import msgspec
from msgspec.structs import replace

from protocols.sip import agent_events as events
from protocols.sip import session_refresh as timers
from protocols.sip.agent_commands import By
from protocols.sip.agent_events import Cause, Source
from protocols.sip.errors import LocalProtocolError, RemoteProtocolError
from protocols.sip.headers import Reason, read_retry_after, write_reason
from protocols.sip.message import NO_HEADERS, Headers, Response
from protocols.sip.session import EARLY, Fork, Session, State
from protocols.sip.session_host import Asked, Purpose
from protocols.sip.session_offers import Bearer, Body, Pending, description_of

MAX_TRIES: Final = 8
_PATIENCE: Final = 10  # seconds that another change may take

_EXPIRED: Final = Headers(
    (write_reason(Reason(protocol="SIP", cause=408, text="Session Expired")),)
)
# What says that the peer has no such call any more (§12.2.1.2).
_FATAL: Final = frozenset({408, 481})


class Aim(StrEnum):
    """What a change is for."""

    OFFER = "offer"
    REFRESH = "refresh"


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A change that we want; `body` None: the peer shall offer."""

    fork: Fork
    by: By
    aim: Aim
    body: Body | None
    tries: int = 0


# Ours


def offer(session: Session, fork: Fork | None, body: Body | None, by: By) -> None:
    """Offer as soon as nothing else is under way; `OfferAnswered` or `OfferRefused` follows."""
    if session.state in (State.ENDING, State.ENDED):
        return
    if fork is None:
        raise LocalProtocolError("no dialog of this name to offer in")
    waiting = session.wanted is not None and session.wanted.aim is Aim.OFFER
    if waiting or (session.change is not None and session.change.note.aim is Aim.OFFER):
        raise LocalProtocolError("an offer of ours is under way")
    session.wanted = Change(fork=fork, by=by, aim=Aim.OFFER, body=body)


def go_on(session: Session, change: Change, now: float) -> None:
    """Send the change that waits, if its time has come."""
    if session.change is not None or session.retry_at < inf:
        return
    bearer = _choose(session, change)
    if bearer is None:
        return
    session.wanted = None
    fork = change.fork
    headers = Headers(session.host.abilities_inside)
    if session.state not in EARLY:
        headers = headers.with_(*timers.asking(session.refresh, session.clock.agreed))
    body = change.body
    if change.aim is Aim.REFRESH:
        body = fork.offers.local if bearer is Bearer.INVITE else None
    if body is not None:
        fork.offers.offer(body, bearer)
    session.change = session.ask(
        Purpose.CHANGE, fork, str(bearer), now, headers=headers, body=body, note=change
    )


def _choose(session: Session, change: Change) -> Bearer | None:
    """What the change goes by now; None: it has to wait."""
    fork = change.fork
    offers = fork.offers
    if offers.pending is not Pending.NOTHING or session.updated or session.pracked:
        return None
    if session.is_asking(Purpose.PRACK):
        return None  # it would be refused if it were overtaken
    if change.by is By.UPDATE or session.state is not State.UP:
        if change.by is By.INVITE or (change.body is not None and not offers.complete):
            return None
        return Bearer.UPDATE
    if session.unconfirmed or session.reinvited or session.unacknowledged:
        return None
    return Bearer.INVITE


def take_response(
    session: Session, asked: Asked, response: Response, source: Source, now: float
) -> None:
    """Take the final response to a change of ours."""
    change, fork = asked.note, asked.fork
    assert fork is not None
    if session.change is asked:
        session.change = None
    if session.state in (State.ENDING, State.ENDED):
        if asked.sent.method == "INVITE" and response.status < 300:
            session.acknowledge(asked, fork, None)
    elif response.status < 300:
        _take_success(session, asked, response, now)
    elif (pause := _pause(session, response)) and change.tries < MAX_TRIES:
        _withdraw(asked)
        session.wanted = replace(change, tries=change.tries + 1)
        session.retry_at = now + pause
    elif response.status == 422 and _ask_for_more_time(session, asked, response):
        return
    else:
        _withdraw(asked)
        _fail(session, asked, response, source, now)


def _withdraw(asked: Asked) -> None:
    if asked.fork is not None and asked.fork.offers.pending is Pending.OURS:
        asked.fork.offers.withdraw()


def _take_success(session: Session, asked: Asked, response: Response, now: float) -> None:
    fork, host = asked.fork, session.host
    assert fork is not None
    before = fork.dialog.next_hop
    fork.dialog.refresh(response)
    moved = fork.dialog.next_hop != before
    if moved:
        session.follow(fork)
    fork.learn(response)
    body = description_of(response, host.settings.descriptions)
    offers = fork.offers
    if asked.sent.method == "INVITE" and offers.pending is Pending.NOTHING and body is not None:
        offers.hear_offer(body, Bearer.SUCCESS)
        session.unacknowledged = asked
        tell_offer(session, fork, body)
    else:
        if offers.pending is Pending.OURS:
            _take_answer(session, asked, fork, body)
        if asked.sent.method == "INVITE":
            session.acknowledge(asked, fork, None)
    refreshed(session, timers.heard(response, session.refresh, session.clock.agreed), "us", now)
    if moved:
        session.look_for(fork, session.follow(fork))


def _take_answer(session: Session, asked: Asked, fork: Fork, body: Body | None) -> None:
    """The answer to our offer; a peer that forgets it means the one before."""
    offers = fork.offers
    answer = body or offers.remote
    if answer is None:
        offers.withdraw()
        return
    unchanged = answer == offers.remote
    offers.hear_answer(answer)
    if asked.note.aim is Aim.OFFER or not unchanged:
        session.host.tell(events.OfferAnswered(session=session.id, fork=fork.name, body=answer))


def _fail(session: Session, asked: Asked, response: Response, source: Source, now: float) -> None:
    if asked.note.aim is Aim.OFFER:
        session.host.tell(
            events.OfferRefused(
                session=session.id,
                fork=asked.note.fork.name,
                status=response.status,
                reason=response.reason,
                source=source,
                headers=response.headers,
            )
        )
    else:
        session.clock.put_off(now)
    if response.status in _FATAL and session.state is State.UP:
        session.close(NO_HEADERS, now, Cause.LOST)


def _pause(session: Session, response: Response) -> float:
    """When the change may go again, in seconds; 0 if this response does not say that it may.

    §14.1: after 491 who made the Call-ID waits 2.1 to 4 seconds, the other 0 to 2, in steps of
    10 ms. A 500 with a time says that another change is under way (§14.2, RFC 3311 §5.2).
    """
    if response.status == 491:
        first, steps = (2.1, 190) if session.asking_invite is not None else (0.01, 199)
        return first + int(session.host.chance() * (steps + 1)) / 100
    if response.status != 500:
        return 0.0
    try:
        wait = read_retry_after(response.headers)
    except RemoteProtocolError:
        return 0.0
    return 0.0 if wait is None or wait.seconds > _PATIENCE else wait.seconds + 0.1


def _ask_for_more_time(session: Session, asked: Asked, response: Response) -> bool:
    """Whether the change goes again with the peer's Min-SE (RFC 4028 §7.3)."""
    wish = timers.raised(response.headers, session.refresh)
    if wish is None or asked.note.tries >= MAX_TRIES:
        return False
    session.refresh = wish
    if session.clock.agreed is not None:
        session.clock.agreed = replace(session.clock.agreed, seconds=wish.seconds)
    _withdraw(asked)
    session.wanted = replace(asked.note, tries=asked.note.tries + 1)
    return True


def refreshed(session: Session, agreed: timers.Agreed, by: str, now: float) -> None:
    """Only the 2xx of a call that stands, or will, begin the time anew."""
    if session.state in EARLY:
        return
    session.clock.start(agreed, now)
    session.host.tell(events.Refreshed(session=session.id, by=by, seconds=agreed.seconds))


def tell_offer(session: Session, fork: Fork, body: Body) -> None:
    """Let the user judge an offer of the peer's."""
    session.host.tell(
        events.OfferReceived(
            session=session.id,
            fork=fork.name,
            bearer=fork.offers.bearer,
            body=body,
            unchanged=body == fork.offers.remote,
        )
    )


# Time


def handle_timer(session: Session, now: float) -> None:
    """Refresh, give up, or offer again, as is due by `now`."""
    if session.retry_at <= now:
        session.retry_at = inf
    clock = session.clock
    if clock.ends_at <= now:
        clock.stop()
        session.host.tell(events.Expired(session=session.id))
        session.close(_EXPIRED, now, Cause.EXPIRED)
    elif clock.refresh_at <= now:
        _refresh(session, now)


def _refresh(session: Session, now: float) -> None:
    """Say that the call still stands: by UPDATE if the peer knows it (RFC 4028 §7.4)."""
    session.clock.put_off(now)
    fork = session.fork
    if session.change is not None or session.wanted is not None or fork is None:
        return  # what is under way refreshes as well
    by = By.UPDATE if "UPDATE" in fork.allows else By.INVITE
    session.wanted = Change(fork=fork, by=by, aim=Aim.REFRESH, body=None)
