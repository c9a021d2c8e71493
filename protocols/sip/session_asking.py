"""Requests that open nothing and change nothing, ours and those of peers.

OPTIONS, REGISTER, MESSAGE and the like outside of sessions, INFO and MESSAGE in them.
"""

from protocols.sip.agent_commands import Ask, Reply
from protocols.sip.agent_events import RequestId
from protocols.sip.derive import with_tag
from protocols.sip.digest import Sessions
from protocols.sip.errors import LocalProtocolError
from protocols.sip.events import ServerId
from protocols.sip.message import Headers, Request, Response
from protocols.sip.session import Session, State
from protocols.sip.session_host import Asked, Host, Purpose
from protocols.sip.session_offers import Body, described
from protocols.sip.transport import Destination


def ask_outside(
    host: Host, command: Ask, destination: Destination, auth: Sessions | None, now: float
) -> RequestId:
    """Send a request of its own."""
    id = RequestId(host.take_number())
    headers, octets = described(command.headers, command.body)
    if host.settings.software:
        headers = headers.with_(("User-Agent", host.settings.software))
    plain = Request(
        method=command.method,
        uri=command.uri,
        vias=(),
        from_=with_tag(command.from_, host.tag()),
        to=command.to,
        call_id=command.call_id or host.call_id(),
        cseq=command.cseq,
        max_forwards=command.max_forwards,
        routes=command.routes,
        contacts=command.contacts,
        headers=headers,
        body=octets,
    )
    host.send(Asked(Purpose.ASK, plain, destination, auth=auth, note=id), now)
    return id


def ask_inside(
    host: Host, session: Session | None, method: str, headers: Headers, body: Body, now: float
) -> RequestId:
    """Send a request in a session; in one that ends, or has, nothing happens."""
    id = RequestId(host.take_number())
    if session is None or session.state is State.ENDING:
        return id
    if session.fork is None:
        raise LocalProtocolError("a call of ours has no dialog to ask in before its answer")
    session.ask(Purpose.ASK, session.fork, method, now, headers=headers, body=body, note=id)
    return id


def respond(host: Host, key: ServerId, command: Reply, now: float) -> None:
    """Answer what the user was told of; once is enough."""
    request = host.serving.get(key)
    if request is None:
        return
    host.layer.respond(key, _composed(host, request, command), now)
    if command.status >= 200:
        host.serving.pop(key, None)


def dismiss(host: Host, key: ServerId, command: Reply) -> None:
    """Answer what the user was told of, finally, and keep nothing of it."""
    request = host.serving.pop(key, None)
    if request is not None:
        host.layer.dismiss(key, _composed(host, request, command))


def _composed(host: Host, request: Request, command: Reply) -> Response:
    return host.compose(
        request,
        command.status,
        reason=command.reason,
        headers=command.headers,
        contacts=command.contacts,
        body=command.body,
    )
