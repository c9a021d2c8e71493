"""The peer's offers in a session, by re-INVITE and UPDATE, until they are answered.

What stands against one is told at once (RFC 3261 §14.2, RFC 3311 §5.2); all others are the user's
to answer, but for an UPDATE that offers nothing. An answer goes by what follows from where the
offer was, which may be a response of the peer's as well.
"""

from protocols.sip import agent_events as events
from protocols.sip import session_refresh as timers
from protocols.sip.agent_commands import Reply
from protocols.sip.errors import LocalProtocolError, RemoteProtocolError
from protocols.sip.events import ServerId
from protocols.sip.headers import write_count
from protocols.sip.message import Headers, Request, Response
from protocols.sip.session import EARLY, Fork, Session, State, Unconfirmed, Waiting
from protocols.sip.session_called import confirm
from protocols.sip.session_calling import acknowledge_provisional
from protocols.sip.session_changes import refreshed, tell_offer
from protocols.sip.session_offers import GLARE, Bearer, Body, Pending, description_of


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
    # Between our wanted offer and one of theirs an answer could not tell which it is to.
    status = 500 if session.updated or (body is not None and session.reinvited) else 0
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
        session.look_for(fork, session.follow(fork))


def _hear_offer(session: Session, fork: Fork, body: Body, bearer: Bearer) -> None:
    fork.offers.hear_offer(body, bearer)
    tell_offer(session, fork, body)


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
    timing = () if session.state in EARLY else timers.answered(agreed, fork.supports)
    response = host.compose(
        waiting.request,
        200,
        headers=Headers((*host.abilities_inside, *timing)),
        contacts=(session.contact,),
        body=body,
    )
    refreshed(session, agreed, "peer", now)
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
    for name in ("reinvited", "updated", "pracked"):
        if getattr(session, name) is waiting:
            setattr(session, name, None)
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
