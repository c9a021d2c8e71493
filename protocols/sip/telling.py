"""What the effects of a transaction are to the layer's user, as events (RFC 3261 §17)."""

from protocols.sip import events
from protocols.sip.events import ClientId, Event, ServerId
from protocols.sip.message import Message, Request, Response
from protocols.sip.transaction import Effect, Transaction
from protocols.sip.transport import Flow


def told(
    transaction: Transaction,
    effect: Effect,
    message: Message | None,
    flow: Flow | None,
    reason: str,
) -> Event:
    """The event of an effect that is for the user."""
    if effect is Effect.TIME_OUT:
        return events.TimedOut(id=transaction.id)
    if effect is Effect.FAIL:
        return events.TransportFailed(id=transaction.id, reason=reason)
    assert flow is not None
    if isinstance(message, Response):
        return events.ResponseReceived(
            client_id=ClientId(transaction.number), response=message, flow=flow
        )
    assert isinstance(message, Request)
    return events.AckReceived(server_id=ServerId(transaction.number), request=message, flow=flow)
