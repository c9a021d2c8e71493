"""A peer's INVITE, from the moment it comes until the ACK of our answer (RFC 3261 §13.3).

Nothing is answered here but what its user said: provisional responses, reliable ones until they
are acknowledged (RFC 3262), and one final. A 2xx waits until descriptions that were said before
it have arrived, and is said again until its ACK comes; the 2xx of a re-INVITE is, too.
"""

from math import inf
from typing import Final

from msgspec.structs import replace

from protocols.sip import agent_events as events
from protocols.sip import session_refresh as timers
from protocols.sip.agent_commands import Accept, Provisional, Reliability, Reply
from protocols.sip.agent_events import Cause, SessionId, Source
from protocols.sip.dialog import Dialog
from protocols.sip.errors import LocalProtocolError, RemoteProtocolError
from protocols.sip.events import ServerId
from protocols.sip.headers import read_rack
from protocols.sip.message import NO_HEADERS, Headers, Request, Response
from protocols.sip.session import Fork, Session, State, Unconfirmed, Waiting, options
from protocols.sip.session_host import Host
from protocols.sip.session_offers import GLARE, Bearer, Body, Pending, description_of
from protocols.sip.session_reliable import MAX_RSEQ, Due, Sender
from protocols.sip.transport import Flow

RELIABLE: Final = "100rel"

# Proxies give up what they hear nothing of for three minutes (RFC 3261 §13.3.1.1, RFC 3262 §3).
_EVERY: Final = 60.0
_EVERY_RELIABLE: Final = 150.0
_NOT_ACCEPTABLE: Final = 488


def begin(
    host: Host, key: ServerId, request: Request, flow: Flow, replaces: SessionId | None
) -> None:
    """Take a new INVITE that was found good."""
    session = Session(host, State.CALLED, request, flow, contact=host.contact(flow))
    session.key, session.via = key, request.vias[0]
    fork = Fork(Dialog.called(request, host.tag()))
    fork.learn(request)
    session.fork = session.add(fork)
    host.layer.tag_as(key, fork.dialog.local.tag)
    supports = fork.supports | options(request.headers, "Require")
    fork.supports = supports
    host.inviting[key] = session
    offer = description_of(request, host.settings.descriptions)
    if offer is not None:
        fork.offers.hear_offer(offer, Bearer.INVITE)
    host.tell(
        events.Invited(
            session=session.id,
            request=request,
            flow=flow,
            offer=offer,
            supports=supports,
            replaces=replaces,
        )
    )


def provisional(session: Session, command: Provisional, now: float) -> None:
    """Say what there is to say before the answer."""
    if not 100 < command.status < 200:
        raise LocalProtocolError(f"{command.status} is no provisional response of a user's")
    if session.state is not State.CALLED or session.accepting is not None:
        return
    fork = session.fork
    assert fork is not None
    session.contact = command.contact or session.contact
    supported = RELIABLE in fork.supports
    if command.reliable is Reliability.REQUIRE and not supported:
        session.host.tell(events.Unreliable(session=session.id, status=421))
        refuse(session, Reply(status=421, headers=Headers((("Require", RELIABLE),))), now)
        return
    # RFC 3262 §3: a caller that requires it gets nothing else.
    required = RELIABLE in options(session.invite.headers, "Require")
    reliable = required or (supported and command.reliable is not Reliability.NEVER)
    body = _describe(fork, command.body, Bearer.PROVISIONAL if reliable else None)
    response = session.host.compose(
        session.invite,
        command.status,
        tag=fork.dialog.local.tag,
        reason=command.reason,
        headers=command.headers.with_(*session.host.abilities) if reliable else command.headers,
        contacts=(session.contact,),
        body=body,
    )
    session.said = response
    session.say_again_at = now + (_EVERY_RELIABLE if reliable else _EVERY)
    if not reliable:
        session.host.layer.respond(session.key, response, now)
        return
    if session.sender is None:
        session.sender = Sender(1 + int(session.host.chance() * (MAX_RSEQ // 2)))
    session.sender.put(response)


def _say_again(session: Session, now: float) -> None:
    """Say that it still goes as was said: whoever stands between gives up otherwise."""
    said, sender = session.said, session.sender
    if said is None or session.state is not State.CALLED or session.accepting is not None:
        session.say_again_at = inf
    elif sender is None:
        session.say_again_at = now + _EVERY
        session.host.layer.respond(session.key, said, now)
    else:
        session.say_again_at = now + _EVERY_RELIABLE
        sender.put(replace(said, body=b"", headers=said.headers.without("Content-Type")))


def _describe(fork: Fork, body: Body | None, bearer: Bearer | None) -> Body | None:
    """What of `body` goes into a provisional response: an answer, an offer or a preview."""
    offers = fork.offers
    if body is None:
        return None
    if offers.pending is Pending.THEIRS and offers.bearer is Bearer.INVITE:
        if bearer is None:
            offers.preview = body
        else:
            offers.answer(body)
        return body
    if offers.complete or offers.pending is not Pending.NOTHING or bearer is None:
        return None
    offers.offer(body, bearer)
    return body


def accept(session: Session, command: Accept) -> None:
    """Answer with a 2xx, as soon as it may go out."""
    if session.state in (State.ENDING, State.ENDED):
        return
    if session.state is not State.CALLED or session.accepting is not None:
        raise LocalProtocolError("only an INVITE of the peer's that waits can be accepted")
    if not 200 <= command.status < 300:
        raise LocalProtocolError(f"{command.status} accepts nothing")
    assert session.fork is not None
    offers = session.fork.offers
    if command.body is None and offers.preview is None and not offers.complete:
        known = offers.pending is Pending.OURS  # our offer of a reliable response waits
        if not known:
            raise LocalProtocolError("a 2xx has the answer, or our offer if the peer made none")
    session.accepting = command


def go_on(session: Session, now: float) -> None:
    """Say what of an answer has waited for what was said before it."""
    sender = session.sender
    if sender is not None:
        response = sender.next(session.host.settings.timers.t1, now)
        if response is not None:
            session.host.layer.respond(session.key, response, now)
    if session.accepting is not None and not _is_held(session):
        _accept(session, session.accepting, now)


def _is_held(session: Session) -> bool:
    """Whether a 2xx has to wait (RFC 3262 §3, RFC 6337 §2.2)."""
    assert session.fork is not None
    offers = session.fork.offers
    if session.sender is not None and session.sender.describing:
        return True
    if offers.pending is Pending.THEIRS:
        return offers.bearer is not Bearer.INVITE
    return offers.pending is Pending.OURS


def _accept(session: Session, command: Accept, now: float) -> None:
    host, fork = session.host, session.fork
    assert fork is not None
    session.accepting = None
    session.contact = command.contact or session.contact
    session.refresh = command.refresh or session.refresh
    agreed = timers.answering(session.invite, session.refresh, fork.supports)
    response = host.compose(
        session.invite,
        command.status,
        tag=fork.dialog.local.tag,
        reason=command.reason,
        headers=command.headers.with_(*host.abilities, *timers.answered(agreed, fork.supports)),
        contacts=(session.contact,),
        body=_final_description(fork, command.body),
    )
    if session.sender is not None:
        session.sender.stop()
    host.inviting.pop(session.key, None)
    session.state = State.ACCEPTED
    session.said, session.say_again_at = None, inf
    session.unconfirmed = Unconfirmed(session.key, response, fork, host.settings.timers.t1, now)
    session.clock.start(agreed, now)
    host.layer.respond(session.key, response, now)


def _final_description(fork: Fork, body: Body | None) -> Body | None:
    """What a 2xx says that has not been said reliably: the answer or the offer."""
    offers = fork.offers
    if offers.pending is Pending.THEIRS:
        answer = body or offers.preview
        assert answer is not None
        offers.answer(answer)
        return answer
    if offers.complete:
        return None
    assert body is not None
    offers.offer(body, Bearer.SUCCESS)
    return body


def refuse(session: Session, command: Reply, now: float) -> None:
    """Answer with 300 or above; the session is over with it."""
    if _is_refused(session, command):
        _answer_finally(session, command, now)
        session.end(Cause.DECLINED, now)


def turn_away(session: Session, command: Reply, now: float) -> None:
    """As `refuse`, and forget the INVITE: it comes again if the answer is lost."""
    if _is_refused(session, command):
        session.host.layer.dismiss(session.key, _final(session, command))
        session.end(Cause.DECLINED, now)


def _is_refused(session: Session, command: Reply) -> bool:
    """Whether the command is to be done; one that comes too late is not."""
    if session.state is not State.CALLED:
        if session.state in (State.ENDING, State.ENDED):
            return False
        raise LocalProtocolError("only an INVITE of the peer's that waits can be refused")
    if command.status < 300:
        raise LocalProtocolError(f"{command.status} refuses nothing")
    return True


def _answer_finally(session: Session, command: Reply, now: float) -> None:
    session.host.layer.respond(session.key, _final(session, command), now)


def _final(session: Session, command: Reply) -> Response:
    host, fork = session.host, session.fork
    assert fork is not None
    return host.compose(
        session.invite,
        command.status,
        tag=fork.dialog.local.tag,
        reason=command.reason,
        headers=command.headers,
        contacts=command.contacts,
        body=command.body,
    )


def take_cancel(session: Session, cancel: Request, now: float) -> None:
    """The caller gave up (§9.2)."""
    if session.state is State.CALLED:
        _answer_finally(session, Reply(status=487), now)
        session.host.tell(events.Cancelled(session=session.id, headers=cancel.headers))
        session.end(Cause.CANCELLED, now)


def take_early_bye(session: Session, now: float) -> None:
    """The caller hung up before we answered, which ends the INVITE as well (§15.1.2)."""
    _answer_finally(session, Reply(status=487), now)


def take_prack(session: Session, fork: Fork, key: ServerId, request: Request, now: float) -> None:
    """Take what acknowledges a reliable response of ours (RFC 3262 §3)."""
    host = session.host
    try:
        rack = read_rack(request.headers)
    except RemoteProtocolError as error:
        host.refuse(key, request, error.status, now)
        return
    sender = session.sender
    if sender is None or rack is None or not sender.acknowledge(rack, session.invite.cseq):
        host.refuse(key, request, 481, now)
        return
    body = description_of(request, host.settings.descriptions)
    offers = fork.offers
    if body is None:
        host.refuse(key, request, 200, now)
    elif offers.pending is Pending.OURS and offers.bearer is Bearer.PROVISIONAL:
        offers.hear_answer(body)
        host.refuse(key, request, 200, now)
        host.tell(events.OfferAnswered(session=session.id, fork=fork.name, body=body))
    elif offers.pending is not Pending.NOTHING:
        host.refuse(key, request, GLARE[offers.pending], now, host.pause())
    else:
        offers.hear_offer(body, Bearer.PRACK)
        session.pracked = Waiting(key, request, fork)
        host.tell(
            events.OfferReceived(session=session.id, fork=fork.name, bearer=Bearer.PRACK, body=body)
        )


def take_ack(session: Session, fork: Fork, request: Request) -> None:
    """Take the ACK of our 2xx, to the first INVITE or to a later one."""
    unconfirmed = session.unconfirmed
    if unconfirmed is None or request.cseq != unconfirmed.response.cseq:
        return
    confirm(session, fork, description_of(request, session.host.settings.descriptions))


def confirm(session: Session, fork: Fork, body: Body | None) -> None:
    """Our 2xx has arrived; `body` is the answer to the offer in it."""
    host, offers = session.host, fork.offers
    if session.unconfirmed is not None:
        host.layer.acknowledged(session.unconfirmed.key)
    session.unconfirmed = None
    if offers.pending is Pending.OURS and offers.bearer is Bearer.SUCCESS:
        if body is not None:
            offers.hear_answer(body)
        else:
            offers.withdraw()  # the peer broke the rules: all stays as it was
            if session.state is not State.ACCEPTED:
                host.tell(_unanswered(session, fork))
    else:
        body = None
    if session.state is State.ACCEPTED:
        session.state = State.UP
        host.tell(events.Confirmed(session=session.id, body=body))
        session.look_for(fork, session.follow(fork))
    elif body is not None:
        host.tell(events.OfferAnswered(session=session.id, fork=fork.name, body=body))


def _unanswered(session: Session, fork: Fork) -> events.OfferRefused:
    """The ACK of a re-INVITE has no answer to the offer in our 2xx."""
    return events.OfferRefused(
        session=session.id,
        fork=fork.name,
        status=_NOT_ACCEPTABLE,
        reason="the ACK has no answer",
        source=Source.PEER,
        headers=NO_HEADERS,
    )


def hang_up(session: Session, headers: Headers, now: float) -> None:
    """Send the BYE that had to wait for the ACK (§15)."""
    session.hanging = None
    session.close(headers, now)


def handle_timer(session: Session, now: float) -> None:
    """Say again what was not acknowledged, or give up."""
    if session.say_again_at <= now:
        _say_again(session, now)
    sender, unconfirmed = session.sender, session.unconfirmed
    if sender is not None and session.state is State.CALLED:
        due = sender.handle_timer(now)
        if due is Due.AGAIN and sender.under_way is not None:
            session.host.layer.respond(session.key, sender.under_way, now)
        elif due is Due.GIVE_UP:
            # RFC 3262 §3: the INVITE should be refused with a 5xx.
            session.host.tell(events.Unreliable(session=session.id, status=504))
            refuse(session, Reply(status=504), now)
            return
    if unconfirmed is None:
        return
    if unconfirmed.gives_up_at <= now:
        session.unconfirmed = None
        session.state = State.UP
        session.host.tell(events.NeverConfirmed(session=session.id))
        session.close(session.hanging or NO_HEADERS, now, Cause.UNCONFIRMED)
    elif unconfirmed.again_at <= now:
        longest = session.host.settings.timers.t2
        unconfirmed.interval = min(2 * unconfirmed.interval, longest)
        unconfirmed.again_at = min(now + unconfirmed.interval, inf)
        session.host.layer.respond(unconfirmed.key, unconfirmed.response, now)
