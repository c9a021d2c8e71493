"""Our INVITE, from the moment it goes out until its final response (RFC 3261 §13.2).

Each response with a tag of its own is an early dialog; the first 2xx settles which one is the
call, and whoever else answers gets ACK and BYE (§13.2.2.4). A 2xx that crosses our CANCEL does
too.
"""

from typing import Final

from msgspec.structs import replace

from protocols.sip import agent_events as events
from protocols.sip import session_refresh as timers
from protocols.sip.agent_commands import Acknowledge, Invite, Reliability
from protocols.sip.agent_events import Cause, Source
from protocols.sip.derive import with_tag
from protocols.sip.dialog import Dialog
from protocols.sip.digest import Sessions
from protocols.sip.errors import LocalProtocolError, RemoteProtocolError
from protocols.sip.headers import RAck, read_count, write_rack, write_replaces, write_tokens
from protocols.sip.message import Headers, NameAddr, Request, Response
from protocols.sip.next_hop import found
from protocols.sip.session import Fork, Session, State, options
from protocols.sip.session_host import CREDENTIALS, Asked, Host, Purpose, Sent
from protocols.sip.session_offers import (
    Bearer,
    Body,
    Exchange,
    Pending,
    described,
    description_of,
)
from protocols.sip.transport import Destination, Hop

MAX_TRIES: Final = 8
"""How often one INVITE goes out, whatever the peer has to say about it."""

MAX_DIALOGS: Final = 128
"""How many dialogs one INVITE opens in its time, those that are over among them."""

MAX_UNDER_WAY: Final = 32
"""How many requests of a call wait for answers before its callee can cause no more."""


def begin(
    host: Host, command: Invite, destination: Destination, auth: Sessions | None, now: float
) -> Session:
    """Send an INVITE."""
    contact = command.contact or host.contact(destination)
    plain = _invite(host, command, contact)
    session = Session(host, State.CALLING, plain, destination, contact=contact, auth=auth)
    session.refresh = command.refresh or session.refresh
    session.acknowledging = command.acknowledge
    asked = Asked(Purpose.INVITE, plain, destination, session=session, auth=auth, note=command.body)
    session.asking_invite = asked
    try:
        host.send(asked, now)
    except Exception:
        del host.sessions[session.id]  # what its user wrote can't be said
        raise
    return session


def _invite(host: Host, command: Invite, contact: NameAddr) -> Request:
    inside = command.reliable is Reliability.NEVER
    headers = command.headers.with_(
        *(host.abilities_inside if inside else host.abilities),
        *timers.asking(command.refresh or host.settings.refresh, None),
    )
    required = command.require
    if command.reliable is Reliability.REQUIRE:
        required = (*required, "100rel")
    if command.replaces is not None:
        headers = headers.with_(write_replaces(command.replaces))
        required = (*required, "replaces")
    if required:
        headers = headers.with_(write_tokens("Require", required))
    if host.settings.software:
        headers = headers.with_(("User-Agent", host.settings.software))
    headers, octets = described(headers, command.body)
    return Request(
        method="INVITE",
        uri=command.uri,
        vias=(),
        from_=with_tag(command.from_, host.tag()),
        to=command.to,
        call_id=command.call_id or host.call_id(),
        cseq=command.cseq,
        max_forwards=command.max_forwards,
        routes=command.routes,
        contacts=(contact,),
        headers=headers,
        body=octets,
    )


def take_provisional(session: Session, asked: Asked, response: Response, now: float) -> None:
    """Take a response of 100 to 199 to our INVITE."""
    if session.cancelled is not None:
        return
    tag = response.to.tag
    if response.status == 100 or not tag:
        _tell_progress(session, response, "", None, Exchange.NONE, 0)
        return
    fork = session.forks.get(tag)
    if response.status == 199:
        if fork is not None:
            session.drop(fork)  # RFC 6228: that fork refused, and others may not have
        return
    if fork is None:
        opened = len(session.host.invites[asked.id].early)
        if len(session.forks) >= session.host.settings.forks or opened >= MAX_DIALOGS:
            return
        fork = _open_fork(session, asked, response)
    else:
        fork.dialog.refresh(response)
    session.follow(fork)
    fork.learn(response)
    rseq = _rseq(response)
    if rseq and (len(session.asking) > MAX_UNDER_WAY or not fork.receiver.is_new(rseq)):
        return  # its PRACK is under way, or one before it is missing; it comes again
    body = description_of(response, session.host.settings.descriptions)
    exchange = fork.offers.hear_response(body, Bearer.PROVISIONAL if rseq else None)
    if exchange is Exchange.OFFER:
        fork.awaiting = response
    elif rseq:
        acknowledge_provisional(session, fork, response, None, now)
    _tell_progress(session, response, tag, body, exchange, rseq)


def acknowledge_provisional(
    session: Session, fork: Fork, response: Response, body: Body | None, now: float
) -> None:
    """Send PRACK (RFC 3262 §4)."""
    rack = RAck(rseq=_rseq(response), cseq=response.cseq, method=response.method)
    headers = Headers((write_rack(rack),))
    session.ask(Purpose.PRACK, fork, "PRACK", now, headers=headers, body=body)


def _rseq(response: Response) -> int:
    """The number of a response that wants to be acknowledged; 0 for any other."""
    if "RSeq" not in response.headers or "100rel" not in options(response.headers, "Require"):
        return 0
    try:
        return read_count(response.headers, "RSeq") or 0
    except RemoteProtocolError:
        return 0


def _tell_progress(
    session: Session,
    response: Response,
    fork: str,
    body: Body | None,
    exchange: Exchange,
    rseq: int,
) -> None:
    session.host.tell(
        events.Progressed(
            session=session.id,
            response=response,
            fork=fork,
            body=body,
            exchange=exchange,
            rseq=rseq,
        )
    )


def _open_fork(session: Session, asked: Asked, response: Response) -> Fork:
    fork = Fork(Dialog.calling(asked.sent, response))
    if asked.note is not None:
        fork.offers.offer(asked.note, Bearer.INVITE)
    session.host.invites[asked.id].early[fork.name] = fork.dialog
    return session.add(fork)


def take_final(
    session: Session, asked: Asked, response: Response, source: Source, now: float
) -> None:
    """Take the final response to our INVITE, or what stands for it."""
    if response.status < 300:
        _take_success(session, asked, response, now)
    elif response.status == 422 and _ask_for_more_time(session, asked, response, now):
        session.host.tell(events.Retried(session=session.id, status=422))
    else:
        session.host.tell(
            events.Refused(
                session=session.id,
                status=response.status,
                reason=response.reason,
                source=source,
                headers=response.headers,
                contacts=response.contacts,
            )
        )
        session.end(Cause.CLOSED if session.cancelled is not None else Cause.REFUSED, now)


def _take_success(session: Session, asked: Asked, response: Response, now: float) -> None:
    host = session.host
    if session.cancelled is not None:
        reject(host, host.invites[asked.id], response, now)
        session.end(Cause.CLOSED, now)
        return
    fork = session.forks.get(response.to.tag) or _open_fork(session, asked, response)
    for other in [each for each in session.forks.values() if each is not fork]:
        session.drop(other)
    session.fork = fork
    fork.dialog.confirm(response)
    elsewhere = session.follow(fork)
    fork.learn(response)
    body = description_of(response, host.settings.descriptions)
    preview = fork.offers.preview
    exchange = fork.offers.hear_response(body, Bearer.SUCCESS)
    if exchange is Exchange.OFFER or session.acknowledging is Acknowledge.WHEN_TOLD:
        session.state = State.ANSWERED
        session.unacknowledged = asked
    else:
        session.state = State.UP
        session.acknowledge(asked, fork, None)
    session.clock.start(timers.heard(response, session.refresh, None), now)
    host.tell(
        events.Answered(
            session=session.id,
            response=response,
            fork=fork.name,
            body=(body or preview) if exchange is Exchange.ANSWER else body,
            exchange=exchange,
        )
    )
    session.look_for(fork, elsewhere)


def _ask_for_more_time(session: Session, asked: Asked, response: Response, now: float) -> bool:
    """Whether the INVITE goes out again with the peer's Min-SE (RFC 4028 §7.3)."""
    wish = timers.raised(response.headers, session.refresh)
    if wish is None or session.cancelled is not None or asked.tries >= MAX_TRIES:
        return False
    session.refresh = wish
    headers = asked.plain.headers.without("Session-Expires", "Min-SE")
    headers = headers.with_(*timers.asking(wish, None))
    asked.plain = replace(asked.plain, headers=headers)
    send_again(session, asked, now)
    return True


def send_again(session: Session, asked: Asked, now: float) -> None:
    """Send our INVITE anew: what was early belongs to the one before."""
    for fork in list(session.forks.values()):
        session.drop(fork)
    session.host.send_again(asked, now)
    session.invite = asked.sent


def take_late(host: Host, sent: Sent, response: Response, now: float) -> None:
    """Take a 2xx to an INVITE that has had its final response: again, or of another fork."""
    said = sent.acks.get(response.to.tag)
    if said is not None:
        sent.acks[response.to.tag] = _say_again(host, sent, response, *said)
    elif sent.dialog is not None:
        _acknowledge_late(host, sent, response)
    elif len(sent.acks) < host.settings.forks and not _is_waited_for(host, sent, response):
        reject(host, sent, response, now)


def _say_again(
    host: Host, sent: Sent, response: Response, ack: Request, to: Destination
) -> tuple[Request, Destination]:
    """Send an ACK again; to where the call is by now, for it may never have been where it went."""
    session = host.sessions.get(sent.session)
    fork = None if session is None else session.forks.get(response.to.tag)
    way = to if session is None or fork is None else session.way(fork)
    if way != to:
        ack = replace(ack, vias=())
    said = host.layer.send(ack, way)
    assert isinstance(said, Request)
    return said, way


def _is_waited_for(host: Host, sent: Sent, response: Response) -> bool:
    """Whether its ACK waits for our answer to the offer in it."""
    session = host.sessions.get(sent.session)
    waiting = session.unacknowledged if session is not None else None
    return (
        session is not None
        and waiting is not None
        and session.fork is not None
        and session.fork.name == response.to.tag
    )


def reject(host: Host, sent: Sent, response: Response, now: float) -> None:
    """Acknowledge a 2xx that nobody wants, and hang up (§13.2.2.4)."""
    dialog = sent.early.get(response.to.tag) or Dialog.calling(sent.request, response)
    dialog.confirm(response)
    way = sent.destination
    where = found(way, dialog, None)
    way = where if isinstance(where, Hop) else way
    _send_ack(host, sent, response, dialog, way)
    plain = dialog.request("BYE")
    host.send(Asked(Purpose.BYE, plain, way, fork=Fork(dialog), auth=sent.auth), now)
    host.tell(events.Forked(session=sent.session, response=response))


def _acknowledge_late(host: Host, sent: Sent, response: Response) -> None:
    """A re-INVITE of a session that has ended meanwhile is accepted."""
    if sent.session not in host.sessions and sent.dialog is not None:
        _send_ack(host, sent, response, sent.dialog, sent.destination)


def _send_ack(host: Host, sent: Sent, response: Response, dialog: Dialog, way: Destination) -> None:
    lines = Headers(each for each in sent.request.headers if each[0] in CREDENTIALS)
    ack = dialog.request("ACK", cseq=sent.request.cseq, headers=lines)
    said = host.layer.send(ack, way)
    assert isinstance(said, Request)
    sent.acks[response.to.tag] = (said, way)


def cancel(session: Session, headers: Headers, now: float) -> None:
    """Give up: CANCEL goes out once the peer has been heard of, and the final response follows."""
    if session.cancelled is None and session.asking_invite is not None:
        session.cancelled = headers
        session.host.layer.cancel(session.asking_invite.id, headers, now)


def acknowledge(session: Session) -> None:
    """Send the ACK that waits for nothing but this word."""
    fork, asked = session.fork, session.unacknowledged
    if session.state is not State.ANSWERED or fork is None or asked is None:
        return
    if fork.offers.pending is Pending.THEIRS:
        raise LocalProtocolError("an offer in a 2xx is acknowledged by its answer")
    session.unacknowledged = None
    session.state = State.UP
    session.acknowledge(asked, fork, None)


def give_up(session: Session, headers: Headers, now: float) -> None:
    """Hang up a call whose 2xx was not acknowledged, or not answered: its ACK says nothing."""
    asked, session.unacknowledged = session.unacknowledged, None
    if asked is not None and session.fork is not None:
        session.acknowledge(asked, session.fork, None)
    session.close(headers, now)
