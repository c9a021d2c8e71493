"""What of a session outlives its process, so that the next one can set the far end free.

An INVITE of ours that nobody answered is cancelled by its own branch; a 2xx that comes all the same
gets ACK and BYE. A call that stood gets BYE, with a CSeq that leaves room for what was asked after
it was saved. A peer's INVITE that was never answered is refused by its own branch; one whose answer
may not have left is, too, once: who has the 2xx drops that (RFC 6026 §8.4).
"""

from typing import Final

import msgspec
from msgspec.structs import replace

from protocols.sip.agent_commands import Reply
from protocols.sip.agent_events import Cause
from protocols.sip.codec import encode, read_datagram
from protocols.sip.dialog import Dialog
from protocols.sip.digest import Sessions
from protocols.sip.errors import LocalProtocolError
from protocols.sip.message import Headers, Request, Response
from protocols.sip.parts import format_name_addr, read_name_addr
from protocols.sip.session import Fork, Session, State
from protocols.sip.session_host import Asked, Host, Purpose, Sent
from protocols.sip.transport import Destination, Flow, Hop
from protocols.sip.uri import format_uri, parse_uri

CSEQ_LEAP: Final = 1000


class SavedDialog(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A dialog as text: addresses and URIs as a message would have them."""

    call_id: str
    local: str
    remote: str
    target: str
    routes: tuple[str, ...]
    local_cseq: int
    remote_cseq: int | None


class Saved(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What to store of a session: `invite` is ours as it went out, b"" of a peer's call.

    It is b"" from the 2xx on: nothing is left to cancel. `asked` is what of a peer's a response
    needs, b"" of ours. `dialog` is None until there is one that may become the call: of ours from
    the 2xx on, of a peer's from the beginning. One of `flow` and `hop` is where requests go; flows
    end with their process, and their `remote` says where to.
    """

    invite: bytes = b""
    asked: bytes = b""
    dialog: SavedDialog | None = None
    flow: Flow | None = None
    hop: Hop | None = None


def save(session: Session) -> Saved:
    """The session as it is now."""
    fork, invite = session.fork, session.asking_invite
    destination = session.destination if fork is None else session.way(fork)
    return Saved(
        invite=_sent(session.host, invite) if invite is not None and fork is None else b"",
        asked=_answerable(session) if session.key else b"",
        dialog=None if fork is None else _save(fork.dialog),
        flow=destination if isinstance(destination, Flow) else None,
        hop=destination if isinstance(destination, Hop) else None,
    )


def _sent(host: Host, invite: Asked) -> bytes:
    if not invite.octets:
        invite.octets = host.layer.written(invite.id) or encode(invite.sent)
    return invite.octets


def _answerable(session: Session) -> bytes:
    """What a response to the peer's INVITE repeats (RFC 3261 §8.2.6.2); it stays the same."""
    if not session.answerable:
        invite = session.invite
        answerable = Request(
            method=invite.method,
            uri=invite.uri,
            vias=invite.vias,
            from_=invite.from_,
            to=invite.to,
            call_id=invite.call_id,
            cseq=invite.cseq,
        )
        session.answerable = encode(answerable)
    return session.answerable


def _save(dialog: Dialog) -> SavedDialog:
    return SavedDialog(
        call_id=dialog.call_id,
        local=format_name_addr(dialog.local),
        remote=format_name_addr(dialog.remote),
        target=format_uri(dialog.target),
        routes=tuple(format_name_addr(each) for each in dialog.routes),
        local_cseq=dialog.local_cseq,
        remote_cseq=dialog.remote_cseq,
    )


def restore_unanswered(
    host: Host,
    saved: Saved,
    destination: Destination,
    auth: Sessions | None,
    headers: Headers,
    now: float,
) -> Session:
    """Cancel an INVITE of the last run."""
    invite = read_datagram(saved.invite)
    if not isinstance(invite, Request):
        raise LocalProtocolError("what was saved is no INVITE of ours")
    contact = invite.contacts[0] if invite.contacts else host.contact(destination)
    plain = replace(invite, vias=())
    id = host.layer.adopt(invite, destination, now)
    session = Session(host, State.CALLING, plain, destination, contact=contact, auth=auth)
    asked = Asked(Purpose.INVITE, plain, destination, session=session, auth=auth)
    asked.id, asked.sent, asked.tries = id, invite, 1
    session.asking_invite, session.cancelled = asked, headers
    host.asked[id] = asked
    session.asking.add(id)
    host.invites[id] = Sent(asked)
    host.layer.cancel(id, headers, now)
    return session


def restore_called(host: Host, saved: Saved, flow: Flow, command: Reply, now: float) -> None:
    """Refuse a peer's INVITE of the last run."""
    asked, response = _refusal(host, saved, command)
    host.layer.respond(host.layer.adopt_asked(asked, flow, now), response, now)


def _refusal(host: Host, saved: Saved, command: Reply) -> tuple[Request, Response]:
    """The INVITE that was saved, and its refusal."""
    asked, dialog = read_datagram(saved.asked), saved.dialog
    if not isinstance(asked, Request) or dialog is None:
        raise LocalProtocolError("what was saved is no INVITE of a peer's")
    tag = read_name_addr(dialog.local).tag
    response = host.compose(
        asked, command.status, tag=tag, reason=command.reason, headers=command.headers
    )
    return asked, response


def restore_answered(
    host: Host,
    saved: Saved,
    destination: Destination,
    auth: Sessions | None,
    headers: Headers,
    now: float,
) -> Session:
    """Hang up a call of the last run."""
    known = saved.dialog
    if known is None:
        raise LocalProtocolError("what was saved was never answered")
    dialog = Dialog(
        call_id=known.call_id,
        local=read_name_addr(known.local),
        remote=read_name_addr(known.remote),
        target=parse_uri(known.target),
        routes=tuple(read_name_addr(each) for each in known.routes),
        local_cseq=known.local_cseq + CSEQ_LEAP - 1,
        remote_cseq=known.remote_cseq,
    )
    contact = host.contact(destination)
    invite = dialog.request("INVITE", cseq=dialog.local_cseq)
    session = Session(host, State.UP, invite, destination, contact=contact, auth=auth)
    session.fork = session.add(Fork(dialog))
    asked = read_datagram(saved.asked) if saved.asked else None
    session.via = asked.vias[0] if isinstance(asked, Request) else None
    session.follow(session.fork)
    session.close(headers, now, Cause.CLOSED)
    if saved.asked and isinstance(destination, Flow):
        host.layer.refuse(_refusal(host, saved, Reply(status=500, headers=headers))[1], destination)
    return session
