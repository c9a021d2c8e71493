"""Transfers: REFER, the NOTIFYs that tell what became of it, and Replaces.

RFC 3515, RFC 3891 and RFC 3892. A REFER makes a subscription inside its session; here it ends with
the session, whatever it had yet to tell.
"""

import re
from typing import Final

from protocols.sip import agent_events as events
from protocols.sip.agent_commands import Refer, Reply
from protocols.sip.agent_events import Cause, SessionId, Source, Stage, TransferId
from protocols.sip.errors import LocalProtocolError, RemoteProtocolError
from protocols.sip.events import ServerId
from protocols.sip.headers import (
    Event,
    Replaces,
    SubscriptionState,
    parse_replaces,
    read_address,
    read_event,
    read_replaces,
    read_subscription_state,
    write_address,
    write_event,
    write_subscription_state,
)
from protocols.sip.message import NO_HEADERS, Headers, NameAddr, Request, Response
from protocols.sip.session import Fork, Session, State
from protocols.sip.session_host import Asked, Host, Purpose
from protocols.sip.session_offers import Body, body_of, main_type
from protocols.sip.status import phrase
from protocols.sip.uri import SipUri

SIPFRAG: Final = "message/sipfrag"
MAX_TRANSFERS: Final = 4
"""How many of each side a session has at a time."""

_LASTS: Final = 180  # seconds a subscription is said to live
_STATUS_LINE: Final = re.compile(rb"SIP/2\.0 ([1-6][0-9]{2}) ?([^\r\n]{0,200})")


class Transfer:
    """One REFER. `key` is the peer's request until it is answered."""

    __slots__ = (
        "cseq",
        "fork",
        "id",
        "key",
        "name",
        "request",
        "session",
        "status",
        "telling",
        "waiting",
    )

    def __init__(self, id: TransferId, session: Session, fork: Fork, name: str, cseq: int) -> None:
        self.id = id
        self.session = session
        self.fork = fork
        self.name = name
        """Under which the session knows it: whose it is, and the CSeq."""
        self.cseq = cseq
        self.key: ServerId | None = None
        self.request: Request | None = None
        self.status = 0
        """What was last heard of ours."""
        self.telling: Asked | None = None
        self.waiting: Reply | None = None
        """What to tell when the NOTIFY under way has arrived: they may overtake each other."""


# Ours


def refer(session: Session, command: Refer, now: float) -> TransferId:
    """Ask the peer to call somebody."""
    fork = session.fork
    if fork is None or session.state is not State.UP:
        raise LocalProtocolError("only a call that stands can be transferred")
    _check_number(session, "ours")
    headers = command.headers.with_(write_address("Refer-To", command.refer_to))
    if command.referred_by is not None:
        headers = headers.with_(write_address("Referred-By", command.referred_by))
    transfer = _open(session, fork, "ours", fork.dialog.local_cseq + 1)
    session.ask(Purpose.REFER, fork, "REFER", now, headers=headers, note=transfer)
    return transfer.id


def _check_number(session: Session, side: str) -> None:
    if sum(name.startswith(side) for name in session.transfers) >= MAX_TRANSFERS:
        raise LocalProtocolError(f"{MAX_TRANSFERS} transfers of a session are under way")


def _open(session: Session, fork: Fork, side: str, cseq: int) -> Transfer:
    host = session.host
    id = TransferId(host.take_number())
    transfer = Transfer(id, session, fork, f"{side} {cseq}", cseq)
    session.transfers[transfer.name] = transfer
    host.transfers[id] = transfer
    return transfer


def _forget(transfer: Transfer) -> None:
    transfer.session.transfers.pop(transfer.name, None)
    transfer.session.host.transfers.pop(transfer.id, None)


def take_response(asked: Asked, response: Response, source: Source, now: float) -> None:
    """Take the answer to our REFER."""
    transfer = asked.note
    if transfer.name not in transfer.session.transfers:
        return  # its NOTIFYs were quicker and have said all
    if response.status >= 300:
        _progressed(transfer, response.status, response.reason, Stage.OVER)
        if response.status == 481 and source is Source.PEER:
            transfer.session.close(NO_HEADERS, now, Cause.LOST)
    elif not transfer.status:
        _progressed(transfer, response.status, response.reason, Stage.ACCEPTED)


def rename(transfer: Transfer, cseq: int) -> None:
    """Our REFER went out again under another number."""
    if transfer.session.transfers.pop(transfer.name, None) is not None:
        transfer.cseq, transfer.name = cseq, f"ours {cseq}"
        transfer.session.transfers[transfer.name] = transfer


def _progressed(transfer: Transfer, status: int, reason: str, stage: Stage) -> None:
    transfer.session.host.tell(
        events.TransferProgressed(
            session=transfer.session.id,
            transfer=transfer.id,
            status=status,
            reason=reason,
            stage=stage,
        )
    )
    if stage is Stage.OVER:
        _forget(transfer)


def take_notify(session: Session, fork: Fork, key: ServerId, request: Request, now: float) -> None:
    """Take what the peer tells of our REFER (RFC 3515 §2.4.4)."""
    host = session.host
    try:
        event = read_event(request.headers)
        state = read_subscription_state(request.headers)
    except RemoteProtocolError as error:
        host.refuse(key, request, error.status, now)
        return
    if event is None or event.package != "refer":
        host.refuse(key, request, 489, now, ("Allow-Events", "refer"))
        return
    transfer = _find(session, event.id)
    if transfer is None:
        host.refuse(key, request, 481, now)
        return
    host.refuse(key, request, 200, now)
    said = _status_of(request)
    if said is not None:
        transfer.status = said[0]
    over = transfer.status >= 200 or (state is not None and state.state == "terminated")
    if said is not None or over:
        status, reason = said or (transfer.status, "")
        _progressed(transfer, status, reason, Stage.OVER if over else Stage.TRYING)


def _find(session: Session, id: str) -> Transfer | None:
    """The REFER that an event's id names; without one the oldest (§2.4.6)."""
    if id:
        found = session.transfers.get(f"ours {id}")
        return found if isinstance(found, Transfer) else None
    return next((each for name, each in session.transfers.items() if name.startswith("ours")), None)


def _status_of(request: Request) -> tuple[int, str] | None:
    body = body_of(request)
    if body is None or main_type(body) != SIPFRAG:
        return None
    match = _STATUS_LINE.match(body.octets)
    if match is None:
        return None
    return int(match[1]), match[2].decode("utf-8", "replace")


# The peer's


def take_refer(session: Session, fork: Fork, key: ServerId, request: Request, now: float) -> None:
    """Take a REFER; who it is about is for the user."""
    host = session.host
    try:
        target = read_address(request.headers, "Refer-To")
        by = read_address(request.headers, "Referred-By")
        replaces = None if target is None else _replaces_in(target)
        _check_number(session, "theirs")
    except RemoteProtocolError as error:
        host.refuse(key, request, error.status, now)
        return
    except LocalProtocolError:
        host.refuse(key, request, 500, now, host.pause())
        return
    if target is None:
        host.refuse(key, request, 400, now)  # RFC 3515 §2.4.1: exactly one
        return
    if f"theirs {request.cseq}" in session.transfers:
        host.refuse(key, request, 500, now)  # its NOTIFYs could not be told from the other's
        return
    transfer = _open(session, fork, "theirs", request.cseq)
    transfer.key, transfer.request = key, request
    host.tell(
        events.Referred(
            session=session.id,
            transfer=transfer.id,
            request=request,
            refer_to=target,
            replaces=replaces,
            referred_by=by,
            replaced=None if replaces is None else _named(host, replaces),
        )
    )


def _named(host: Host, wanted: Replaces) -> SessionId | None:
    found = host.dialogs.get((wanted.call_id, wanted.to_tag, wanted.from_tag))
    return None if found is None else found[0].id


def _replaces_in(target: NameAddr) -> Replaces | None:
    if not isinstance(target.uri, SipUri):
        return None
    for name, value in target.uri.headers:
        if name.lower() == "replaces":
            return parse_replaces(value)
    return None


def answer(host: Host, id: TransferId, command: Reply, now: float) -> None:
    """Answer a REFER: 202 and the first NOTIFY, or a refusal."""
    transfer = host.transfers.get(id)
    if transfer is None:
        return
    if transfer.key is None or transfer.request is None:
        raise LocalProtocolError("this REFER is answered already")
    response = host.compose(
        transfer.request,
        command.status,
        reason=command.reason,
        headers=command.headers,
        contacts=(transfer.session.contact,) if command.status < 300 else (),
    )
    host.layer.respond(transfer.key, response, now)
    transfer.key = transfer.request = None
    if command.status >= 300:
        _forget(transfer)
    else:
        notify(host, id, Reply(status=100), now)  # §2.4.4: at once


def notify(host: Host, id: TransferId, command: Reply, now: float) -> None:
    """Tell the peer what became of its REFER; a final status is the last.

    One at a time, for they might overtake each other: what was not told yet gives way.
    """
    transfer = host.transfers.get(id)
    if transfer is None:
        return
    if transfer.key is not None:
        raise LocalProtocolError("a REFER is answered before anything is told of it")
    if not transfer.name.startswith("theirs"):
        raise LocalProtocolError("our own REFER is the peer's to tell of")
    if transfer.waiting is None or transfer.waiting.status < 200:
        transfer.waiting = command
    _tell(transfer, now)


def _tell(transfer: Transfer, now: float) -> None:
    command, session = transfer.waiting, transfer.session
    if command is None or transfer.telling is not None or session.state is State.ENDING:
        return
    transfer.waiting = None
    over = command.status >= 200
    state = SubscriptionState(
        state="terminated" if over else "active",
        reason="noresource" if over else "",
        expires=-1 if over else _LASTS,
    )
    reason = command.reason or phrase(command.status)
    headers = Headers(
        (
            write_event(Event(package="refer", id=str(transfer.cseq))),
            write_subscription_state(state),
        )
    )
    frag = f"SIP/2.0 {command.status} {reason}\r\n".encode()
    transfer.telling = session.ask(
        Purpose.NOTIFY,
        transfer.fork,
        "NOTIFY",
        now,
        headers=headers,
        body=Body(octets=frag, type=f"{SIPFRAG};version=2.0"),
        note=transfer,
    )
    if over:
        _forget(transfer)


def take_notify_response(asked: Asked, response: Response, now: float) -> None:
    """Tell what has waited; a peer that does not know the subscription is told no more (§2.4.4)."""
    transfer = asked.note
    transfer.telling = None
    if response.status in (481, 489):
        _forget(transfer)
    else:
        _tell(transfer, now)


# Replaces


def name_of(session: Session) -> Replaces:
    """The session as its peer would name it in Replaces: for an INVITE from elsewhere to it."""
    if session.fork is None:
        raise LocalProtocolError("a session that was not answered has no name yet")
    dialog = session.fork.dialog
    return Replaces(call_id=dialog.call_id, to_tag=dialog.remote.tag, from_tag=dialog.local.tag)


def replaced_by(host: Host, request: Request) -> tuple[SessionId | None, int]:
    """The session that an INVITE wants to replace, and the status that refuses it (RFC 3891 §3).

    None with 0 if it replaces nothing. Early ones can be replaced if the call is ours.
    """
    try:
        wanted = read_replaces(request.headers)
    except RemoteProtocolError as error:
        return None, error.status
    if wanted is None:
        return None, 0
    found = host.dialogs.get((wanted.call_id, wanted.to_tag, wanted.from_tag))
    if found is None:
        return None, 481
    session = found[0]
    if session.state in (State.ENDING, State.ENDED):
        return None, 603
    if session.state is State.CALLED:
        return None, 481
    if wanted.early_only and session.state is not State.CALLING:
        return None, 486
    return session.id, 0
