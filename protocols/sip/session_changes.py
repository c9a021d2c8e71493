"""Offers in a session, ours and the peer's, by re-INVITE and UPDATE (RFC 3261 §14, RFC 3311).

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
from protocols.sip.agent_commands import By, Reply
from protocols.sip.agent_events import Cause, Source
from protocols.sip.errors import LocalProtocolError, RemoteProtocolError
from protocols.sip.events import ServerId
from protocols.sip.headers import Reason, read_retry_after, write_count, write_reason
from protocols.sip.message import NO_HEADERS, Headers, Request, Response
from protocols.sip.session import Fork, Session, State, Unconfirmed, Waiting
from protocols.sip.session_called import confirm
from protocols.sip.session_calling import acknowledge_provisional
from protocols.sip.session_host import Asked, Purpose
from protocols.sip.session_offers import GLARE, Bearer, Body, Pending, description_of

MAX_TRIES: Final = 8
_PATIENCE: Final = 10  # seconds that another change may take

_EXPIRED: Final = Headers(
    (write_reason(Reason(protocol="SIP", cause=408, text="Session Expired")),)
)
# What says that the peer has no such call any more (§12.2.1.2).
_FATAL: Final = frozenset({408, 481})


# Before the 2xx there is no session that could expire.
_EARLY: Final = frozenset({State.CALLING, State.CALLED})


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


def go_on(session: Session, now: float) -> None:
    """Send the change that waits, if its time has come."""
    change = session.wanted
    if change is None or session.change is not None or session.retry_at < inf:
        return
    bearer = _choose(session, change)
    if bearer is None:
        return
    session.wanted = None
    fork = change.fork
    headers = Headers(session.host.abilities_inside)
    if session.state not in _EARLY:
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
    fork.learn(response)
    body = description_of(response, host.settings.descriptions)
    offers = fork.offers
    if asked.sent.method == "INVITE" and offers.pending is Pending.NOTHING and body is not None:
        offers.hear_offer(body, Bearer.SUCCESS)
        session.unacknowledged = asked
        _tell_offer(session, fork, body)
    else:
        if offers.pending is Pending.OURS:
            _take_answer(session, asked, fork, body)
        if asked.sent.method == "INVITE":
            session.acknowledge(asked, fork, None)
    _refreshed(session, timers.heard(response, session.refresh, session.clock.agreed), "us", now)
    if fork.dialog.next_hop != before:
        session.look_where(fork)


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


def _refreshed(session: Session, agreed: timers.Agreed, by: str, now: float) -> None:
    """Only the 2xx of a call that stands, or will, begin the time anew."""
    if session.state in _EARLY:
        return
    session.clock.start(agreed, now)
    session.host.tell(events.Refreshed(session=session.id, by=by, seconds=agreed.seconds))


# The peer's


def take_invite(session: Session, fork: Fork, key: ServerId, request: Request, now: float) -> None:
    """Take a re-INVITE; whoever sends one has our 2xx, even if the ACK was lost (RFC 5407 §3.1)."""
    if session.unconfirmed and fork.offers.pending is Pending.NOTHING:
        confirm(session, fork, None)
    status = _objection(session, fork)
    if status:
        _object(session, key, request, status, now)
        return
    if _is_too_brief(session, fork, key, request, now):
        return
    _take_target(session, fork, request)
    session.reinvited = Waiting(key, request, fork)
    session.host.inviting[key] = session
    body = description_of(request, session.host.settings.descriptions)
    if body is None:
        session.host.tell(events.OfferWanted(session=session.id, fork=fork.name))
    else:
        _hear_offer(session, fork, body, Bearer.INVITE)


def _objection(session: Session, fork: Fork) -> int:
    """The status that a re-INVITE gets at once (§14.2); 0 if it is taken."""
    change = session.change
    if session.state in (State.CALLED, State.ACCEPTED) or session.reinvited:
        return 500
    if session.state is not State.UP or (change and change.sent.method == "INVITE"):
        return 491
    return GLARE.get(fork.offers.pending, 491 if session.unacknowledged else 0)


def take_update(session: Session, fork: Fork, key: ServerId, request: Request, now: float) -> None:
    """Take an UPDATE (RFC 3311 §5.2); one without an offer changes nothing and is answered."""
    body = description_of(request, session.host.settings.descriptions)
    offers = fork.offers
    status = 500 if session.updated else 0
    if body is not None and not status:
        status = GLARE.get(offers.pending, 0 if offers.complete else 500)
        if session.change and session.change.sent.method == "INVITE":
            status = 491
    if status:
        _object(session, key, request, status, now)
        return
    if _is_too_brief(session, fork, key, request, now):
        return
    _take_target(session, fork, request)
    if body is None:
        _agree(session, Waiting(key, request, fork), None, now)
    else:
        session.updated = Waiting(key, request, fork)
        _hear_offer(session, fork, body, Bearer.UPDATE)


def _object(session: Session, key: ServerId, request: Request, status: int, now: float) -> None:
    pause = (session.host.pause(),) if status == 500 else ()
    session.host.refuse(key, request, status, now, *pause)


def _is_too_brief(
    session: Session, fork: Fork, key: ServerId, request: Request, now: float
) -> bool:
    """Whether the peer wants too short a session timer, and was told so (RFC 4028 §9)."""
    minimum = session.refresh.minimum
    try:
        status = 422 if timers.too_small(request, minimum) else 0
    except RemoteProtocolError as error:
        status = error.status
    if not status or (status == 422 and "timer" not in fork.supports):
        return False
    headers = (write_count("Min-SE", minimum),) if status == 422 else ()
    session.host.refuse(key, request, status, now, *headers)
    return True


def _take_target(session: Session, fork: Fork, request: Request) -> None:
    before = fork.dialog.next_hop
    fork.dialog.refresh(request)
    fork.learn(request)
    if fork.dialog.next_hop != before:
        session.look_where(fork)


def _hear_offer(session: Session, fork: Fork, body: Body, bearer: Bearer) -> None:
    fork.offers.hear_offer(body, bearer)
    _tell_offer(session, fork, body)


def _tell_offer(session: Session, fork: Fork, body: Body) -> None:
    session.host.tell(
        events.OfferReceived(
            session=session.id,
            fork=fork.name,
            bearer=fork.offers.bearer,
            body=body,
            unchanged=body == fork.offers.remote,
        )
    )


def answer(session: Session, fork: Fork | None, body: Body | None, now: float) -> None:
    """Answer the peer's offer by what follows from its bearer; None is the description in force.

    Where the peer wanted an offer, `body` is that.
    """
    if session.state in (State.ENDING, State.ENDED):
        return
    waiting = session.reinvited
    wanted = waiting is not None and fork is waiting.fork
    if fork is None or not (fork.offers.pending is Pending.THEIRS or wanted):
        return  # withdrawn before its user read of it
    offers = fork.offers
    body = body or offers.local
    if body is None:
        raise LocalProtocolError("there is no description in force to answer with")
    if offers.pending is not Pending.THEIRS:
        offers.offer(body, Bearer.SUCCESS)
        bearer = Bearer.INVITE
    else:
        if offers.bearer is Bearer.INVITE and waiting is None:
            raise LocalProtocolError("the first INVITE is answered by accept or provisional")
        offers.answer(body)
        bearer = offers.bearer
    _bear(session, fork, bearer, body, now)


def _bear(session: Session, fork: Fork, bearer: Bearer, body: Body, now: float) -> None:
    """Send an answer by what belongs to the bearer of its offer."""
    if bearer is Bearer.INVITE and session.reinvited is not None:
        waiting, session.reinvited = session.reinvited, None
        session.host.inviting.pop(waiting.key, None)
        response = _agree(session, waiting, body, now)
        t1 = session.host.settings.timers.t1
        session.unconfirmed = Unconfirmed(waiting.key, response, fork, t1, now)
    elif bearer is Bearer.UPDATE and session.updated is not None:
        waiting, session.updated = session.updated, None
        _agree(session, waiting, body, now)
    elif bearer is Bearer.PRACK and session.pracked is not None:
        waiting, session.pracked = session.pracked, None
        response = session.host.compose(waiting.request, 200, body=body)
        session.host.layer.respond(waiting.key, response, now)
    elif bearer is Bearer.PROVISIONAL and fork.awaiting is not None:
        heard, fork.awaiting = fork.awaiting, None
        acknowledge_provisional(session, fork, heard, body, now)
    elif bearer is Bearer.SUCCESS and session.unacknowledged is not None:
        asked, session.unacknowledged = session.unacknowledged, None
        if session.state is State.ANSWERED:
            session.state = State.UP
        session.acknowledge(asked, fork, body)


def _agree(session: Session, waiting: Waiting, body: Body | None, now: float) -> Response:
    """Say 200 to a re-INVITE or an UPDATE; the session timer begins anew."""
    host, fork = session.host, waiting.fork
    agreed = timers.answering(waiting.request, session.refresh, fork.supports)
    timing = () if session.state in _EARLY else timers.answered(agreed, fork.supports)
    response = host.compose(
        waiting.request,
        200,
        headers=Headers((*host.abilities_inside, *timing)),
        contacts=(session.contact,),
        body=body,
    )
    _refreshed(session, agreed, "peer", now)
    host.layer.respond(waiting.key, response, now)
    return response


def refuse_offer(session: Session, fork: Fork | None, command: Reply, now: float) -> None:
    """Refuse the peer's offer, or to make one; all stays as it was.

    One in a response can't be refused (RFC 6337 §2.3): who does not want it hangs up.
    """
    if session.state in (State.ENDING, State.ENDED) or fork is None:
        return
    waiting = next(
        (
            each
            for each in (session.reinvited, session.updated, session.pracked)
            if each is not None and each.fork is fork
        ),
        None,
    )
    if waiting is None:
        raise LocalProtocolError("an offer in a response can't be refused: hang up")
    session.reinvited = session.updated = session.pracked = None
    session.host.inviting.pop(waiting.key, None)
    fork.offers.withdraw()
    response = session.host.compose(
        waiting.request,
        command.status,
        reason=command.reason,
        headers=command.headers,
        body=command.body,
    )
    session.host.layer.respond(waiting.key, response, now)


def take_cancel(session: Session, key: ServerId, now: float) -> None:
    """The peer takes its re-INVITE back."""
    waiting = session.reinvited
    if waiting is None or waiting.key != key:
        return
    session.reinvited = None
    waiting.fork.offers.withdraw()
    session.host.refuse(key, waiting.request, 487, now)
    session.host.tell(events.OfferWithdrawn(session=session.id, fork=waiting.fork.name))


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
