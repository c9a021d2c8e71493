"""Whose an event of the transaction layer is, and who takes it: tables by method and by purpose.

What is for no session of ours is answered here, or told to the user.
"""

from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from protocols.sip import agent_events as events
from protocols.sip import events as below
from protocols.sip import (
    session_called,
    session_calling,
    session_changes,
    session_offered,
    session_transfer,
)
from protocols.sip.agent_admission import accept_header, objection, timer_objection
from protocols.sip.agent_events import Cause, Source
from protocols.sip.derive import reply
from protocols.sip.digest import Renewed
from protocols.sip.events import ServerId
from protocols.sip.headers import Header, Reason, write_reason
from protocols.sip.message import NO_HEADERS, Headers, Request, Response
from protocols.sip.pace import Pace
from protocols.sip.session import Fork, Session, State
from protocols.sip.session_host import Asked, Host, Purpose
from protocols.sip.session_offers import body_of

# Looked at for every message; an attribute of an enumeration is slow to find.
_CALLED: Final = State.CALLED
_ENDED: Final = State.ENDED


def settle(session: Session, now: float) -> None:
    """Do what has waited for what just happened."""
    state = session.state
    if state is _ENDED:
        return
    if state is _CALLED:
        session_called.go_on(session, now)
    if session.hanging is not None and session.unconfirmed is None:
        session_called.hang_up(session, session.hanging, now)
    if session.wanted is not None:
        session_changes.go_on(session, session.wanted, now)
    session.arm()


def pump(host: Host, now: float) -> None:
    """Take all that the layer has to tell, and what it had no room for."""
    layer = host.layer
    while True:
        event = layer.next_event()
        if event is not None:
            _TAKERS[type(event)](host, event, now)
        elif host.overflow:
            asked = host.overflow.pop(0)
            _take_final(host, asked, reply(asked.plain, 503), Source.OVERLOAD, now)
        else:
            return


def wake(session: Session, now: float) -> None:
    """Do what of a session is due by `now`."""
    session_called.handle_timer(session, now)
    if session.state is not State.ENDED:
        session_changes.handle_timer(session, now)
    settle(session, now)


# Requests


def _take_request(host: Host, event: below.RequestReceived, now: float) -> None:
    request, key = event.request, event.server_id
    refusal = objection(request, host.settings)
    if refusal is not None:
        _turn_away(host, key, request, refusal.status, *refusal.headers)
    elif request.to.tag and request.method in _INSIDE:
        _take_inside(host, event, now)
    elif request.method == "INVITE":
        _take_invite(host, event)
    else:
        host.serving[key] = request
        host.tell(_OUTSIDE[request.method](event))


def _turn_away(host: Host, key: ServerId, request: Request, status: int, *headers: Header) -> None:
    """Refuse what rules alone refuse, and keep nothing of it: strangers can send any number."""
    host.layer.dismiss(key, host.compose(request, status, headers=Headers(headers)))


def _take_invite(host: Host, event: below.RequestReceived) -> None:
    request, key = event.request, event.server_id
    if len(host.sessions) >= host.settings.sessions:
        wait = ("Retry-After", str(host.settings.retry_after))
        _turn_away(host, key, request, 503, wait)
        return
    refusal = timer_objection(request, host.settings)
    if refusal is not None:
        _turn_away(host, key, request, refusal.status, *refusal.headers)
        return
    replaces, status = session_transfer.replaced_by(host, request)
    if status:
        _turn_away(host, key, request, status)
        return
    session_called.begin(host, key, request, event.flow, replaces)


_OUTSIDE: Final[dict[str, Callable[[below.RequestReceived], events.Event]]] = {
    "OPTIONS": lambda event: events.OptionsReceived(
        key=event.server_id, request=event.request, flow=event.flow
    ),
    "REGISTER": lambda event: events.RegisterReceived(
        key=event.server_id, request=event.request, flow=event.flow
    ),
    "MESSAGE": lambda event: events.MessageReceived(
        session=None,
        key=event.server_id,
        request=event.request,
        flow=event.flow,
        body=body_of(event.request),
    ),
}


def _take_inside(host: Host, event: below.RequestReceived, now: float) -> None:
    request, key = event.request, event.server_id
    found = host.dialogs.get((request.call_id, request.to.tag, request.from_.tag))
    if found is None:
        _turn_away(host, key, request, 481)
        return
    session, fork = found
    if session.state is State.ENDING and request.method != "BYE":
        host.refuse(key, request, 481, now)
    elif request.method != "BYE" and not _is_in_pace(session, request, now):
        _turn_away(host, key, request, 500, host.pause(), _OVERASKED)
    elif not fork.dialog.takes(request):
        host.refuse(key, request, 500, now)
    else:
        if request.method in _TARGETING:
            session.hear_by(fork, request, event.flow)
        _INSIDE[request.method](session, fork, event, now)
        settle(session, now)


def _is_in_pace(session: Session, request: Request, now: float) -> bool:
    """Whether a peer does not ask for too much; the first time that it does is told."""
    pace = session.pace
    if pace is None:
        pace = session.pace = Pace(session.host.settings.asking, now)
    if pace.admits(now):
        return True
    if not pace.is_told:
        pace.is_told = True
        session.host.tell(events.Overasked(session=session.id, request=request))
    return False


# 500 and not 503, which would speak for the whole of us (RFC 3261 §14.2, RFC 3311 §5.2).
_OVERASKED: Final = write_reason(
    Reason(protocol="SIP", cause=500, text="too many requests in one call")
)


def _take_bye(session: Session, fork: Fork, event: below.RequestReceived, now: float) -> None:
    host, request = session.host, event.request
    host.refuse(event.server_id, request, 200, now)
    if session.state is State.CALLING:
        session.drop(fork)  # one that is early is not the callee's to end, but it is over there
        return
    if session.state is State.CALLED:
        session_called.take_early_bye(session, now)
    if session.state is State.ENDING:
        session.end(session.cause, now)
        return
    host.tell(events.HungUp(session=session.id, headers=request.headers))
    session.end(Cause.HUNG_UP, now)


def _take_options(session: Session, fork: Fork, event: below.RequestReceived, now: float) -> None:
    host = session.host
    headers = (*host.abilities, accept_header(host.settings))
    host.refuse(event.server_id, event.request, 200, now, *headers)


def _take_info(session: Session, fork: Fork, event: below.RequestReceived, now: float) -> None:
    session.host.serving[event.server_id] = event.request
    session.host.tell(
        events.InfoReceived(
            session=session.id,
            key=event.server_id,
            request=event.request,
            body=body_of(event.request),
        )
    )


def _take_message(session: Session, fork: Fork, event: below.RequestReceived, now: float) -> None:
    session.host.serving[event.server_id] = event.request
    session.host.tell(
        events.MessageReceived(
            session=session.id,
            key=event.server_id,
            request=event.request,
            flow=event.flow,
            body=body_of(event.request),
        )
    )


_Inside = Callable[[Session, Fork, below.RequestReceived, float], None]
_Part = Callable[[Session, Fork, ServerId, Request, float], None]


def _part(take: _Part) -> _Inside:
    return lambda session, fork, event, now: take(
        session, fork, event.server_id, event.request, now
    )


_INSIDE: Final[dict[str, _Inside]] = {
    "INVITE": _part(session_offered.take_invite),
    "UPDATE": _part(session_offered.take_update),
    "PRACK": _part(session_called.take_prack),
    "REFER": _part(session_transfer.take_refer),
    "NOTIFY": _part(session_transfer.take_notify),
    "BYE": _take_bye,
    "OPTIONS": _take_options,
    "INFO": _take_info,
    "MESSAGE": _take_message,
}


_TARGETING: Final = frozenset({"INVITE", "UPDATE"})


def _take_ack(host: Host, event: below.AckReceived, now: float) -> None:
    request = event.request
    found = host.dialogs.get((request.call_id, request.to.tag, request.from_.tag))
    if found is not None:
        session, fork = found
        session_called.take_ack(session, fork, request)
        settle(session, now)


def _take_cancel(host: Host, event: below.CancelReceived, now: float) -> None:
    session = host.inviting.pop(event.server_id, None)
    if session is None:
        return
    if session.key == event.server_id:
        session_called.take_cancel(session, event.request, now)
    else:
        session_offered.take_cancel(session, event.server_id, now)
    settle(session, now)


# Responses


def _take_response(host: Host, event: below.ResponseReceived, now: float) -> None:
    response = event.response
    asked = host.asked.get(event.client_id)
    if asked is None:
        sent = host.invites.get(event.client_id)
        if sent is not None and 200 <= response.status < 300:
            session_calling.take_late(host, sent, response, now)
    elif response.status >= 200:
        host.done(asked)
        _take_final(host, asked, response, Source.PEER, now)
    elif asked.purpose is Purpose.INVITE and asked.session is not None:
        session_calling.take_provisional(asked.session, asked, response, now)
        settle(asked.session, now)


def _take_final(host: Host, asked: Asked, response: Response, source: Source, now: float) -> None:
    """Take the final response to a request of ours, or what stands for it."""
    session = asked.session
    if not _authenticated(host, asked, response, source, now):
        _FINALS[asked.purpose](host, asked, response, source, now)
    if session is not None:
        settle(session, now)


def _authenticated(
    host: Host, asked: Asked, response: Response, source: Source, now: float
) -> bool:
    """Whether the request goes out again with the credentials that were asked for (§22.2)."""
    if asked.auth is None or source is not Source.PEER:
        return False
    sent = asked.sent.headers
    if response.status not in (401, 407):
        asked.auth.accepted(sent, response.headers)
        return False
    session = asked.session
    if session is not None and _is_stale(session, asked):
        return False
    verdict = asked.auth.challenged(sent, response.headers, tries=asked.tries)
    if not isinstance(verdict, Renewed):
        return False
    if asked.purpose is Purpose.INVITE and session is not None:
        session_calling.send_again(session, asked, now)
        host.tell(events.Retried(session=session.id, status=response.status))
    else:
        host.send_again(asked, now)
        if asked.purpose is Purpose.REFER:
            session_transfer.rename(asked.note, asked.sent.cseq)
    return True


def _is_stale(session: Session, asked: Asked) -> bool:
    """Whether nobody wants this request any more."""
    if asked.purpose is Purpose.INVITE:
        return session.cancelled is not None
    return session.state is State.ENDING and asked.purpose is not Purpose.BYE


def _take_answer_to_invite(
    host: Host, asked: Asked, response: Response, source: Source, now: float
) -> None:
    assert asked.session is not None
    session_calling.take_final(asked.session, asked, response, source, now)


def _take_answer_to_change(
    host: Host, asked: Asked, response: Response, source: Source, now: float
) -> None:
    assert asked.session is not None
    session_changes.take_response(asked.session, asked, response, source, now)


def _take_answer_to_bye(
    host: Host, asked: Asked, response: Response, source: Source, now: float
) -> None:
    if asked.session is not None:  # whatever it says, the call is over
        asked.session.end(asked.session.cause, now)


def _take_answer_to_ask(
    host: Host, asked: Asked, response: Response, source: Source, now: float
) -> None:
    session = asked.session
    host.tell(
        events.Responded(
            request=asked.note,
            session=None if session is None else session.id,
            response=response,
            source=source,
        )
    )
    if session is not None and response.status == 481 and session.state is State.UP:
        session.close(NO_HEADERS, now, Cause.LOST)


_FINALS: Final[dict[Purpose, Callable[[Host, Asked, Response, Source, float], None]]] = {
    Purpose.INVITE: _take_answer_to_invite,
    Purpose.CHANGE: _take_answer_to_change,
    Purpose.PRACK: lambda host, asked, response, source, now: None,
    Purpose.BYE: _take_answer_to_bye,
    Purpose.REFER: lambda host, asked, response, source, now: session_transfer.take_response(
        asked, response, source, now
    ),
    Purpose.NOTIFY: lambda host, asked, response, source, now: (
        session_transfer.take_notify_response(asked, response, now)
    ),
    Purpose.ASK: _take_answer_to_ask,
}


# What the layer says of transactions


def _take_time_out(host: Host, event: below.TimedOut, now: float) -> None:
    asked = host.asked.get(event.id)
    if asked is not None:
        host.done(asked)
        _take_final(host, asked, reply(asked.sent, 408), Source.TIMEOUT, now)


def _take_failure(host: Host, event: below.TransportFailed, now: float) -> None:
    asked = host.asked.get(event.id)
    if asked is None:
        return
    host.done(asked)
    session, fork = asked.session, asked.fork
    if session is not None and fork is not None and _goes_around(host, session, fork, asked, now):
        return
    if session is not None and fork is not None and asked.purpose is not Purpose.BYE:
        host.tell(
            events.NextHopNeeded(session=session.id, fork=fork.name, uri=fork.dialog.next_hop)
        )
    refusal = replace(reply(asked.sent, 503), reason=event.reason)
    _take_final(host, asked, refusal, Source.TRANSPORT, now)


def _goes_around(host: Host, session: Session, fork: Fork, asked: Asked, now: float) -> bool:
    """Whether a request goes again by another way: who closed a connection still has the call."""
    if asked.destination != session.way(fork) or _is_stale(session, asked):
        return False
    if not session.go_around(fork):
        return False
    asked.destination = session.way(fork)
    host.send_again(asked, now)
    if asked.purpose is Purpose.REFER:
        session_transfer.rename(asked.note, asked.sent.cseq)
    return True


def _take_end(host: Host, event: below.Terminated, now: float) -> None:
    host.invites.pop(event.id, None)
    host.serving.pop(event.id, None)


def _take_stray(host: Host, event: below.StrayResponse, now: float) -> None:
    """A response to nothing of ours: whoever repeats it gives up in time."""
    host.strays += 1


_TAKERS: Final[dict[type[Any], Callable[[Host, Any, float], None]]] = {
    below.RequestReceived: _take_request,
    below.AckReceived: _take_ack,
    below.CancelReceived: _take_cancel,
    below.ResponseReceived: _take_response,
    below.StrayResponse: _take_stray,
    below.TimedOut: _take_time_out,
    below.TransportFailed: _take_failure,
    below.Terminated: _take_end,
}
