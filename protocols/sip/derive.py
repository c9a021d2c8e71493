"""Messages that follow from another by rule alone: a response, the ACK of a refusal, a CANCEL.

What a user of transactions has to say in them (a tag, a reason, a body) is an argument; all else
is copied from where the specification says.
"""

from msgspec.structs import replace

from protocols.sip.message import NO_HEADERS, Headers, NameAddr, Request, Response
from protocols.sip.status import PHRASES


def reply(
    request: Request,
    status: int,
    *,
    tag: str = "",
    reason: str = "",
    headers: Headers = NO_HEADERS,
    body: bytes = b"",
) -> Response:
    """A response to `request` (RFC 3261 §8.2.6).

    `tag` goes into To where that has none yet; `reason` is the phrase that is customary for
    `status` unless it is given. A 100 repeats the Timestamp. Record-Route and Contact belong to
    dialogs and are added by them.
    """
    if status == 100:
        stamp = request.headers.first("Timestamp")
        if stamp is not None:
            headers = headers.with_(("Timestamp", stamp))
    return Response(
        status=status,
        reason=reason or PHRASES.get(status, "Unknown"),
        method=request.method,
        vias=request.vias,
        from_=request.from_,
        to=with_tag(request.to, tag),
        call_id=request.call_id,
        cseq=request.cseq,
        headers=headers,
        body=body,
    )


def with_tag(party: NameAddr, tag: str) -> NameAddr:
    """`party` with `tag`, unless it has one or `tag` is ""."""
    if not tag or party.tag:
        return party
    return replace(party, params=(*party.params, ("tag", tag)))


def ack_of(invite: Request, refusal: Response) -> Request:
    """The ACK of a final response of 300 and above to `invite` as it went out (§17.1.1.3)."""
    return Request(
        method="ACK",
        uri=invite.uri,
        vias=invite.vias[:1],
        from_=invite.from_,
        to=refusal.to,
        call_id=invite.call_id,
        cseq=invite.cseq,
        routes=invite.routes,
    )


def cancel_of(invite: Request, headers: Headers = NO_HEADERS) -> Request:
    """The CANCEL of `invite` as it went out (§9.1), with `headers`, such as Reason (RFC 3326)."""
    return Request(
        method="CANCEL",
        uri=invite.uri,
        vias=invite.vias[:1],
        from_=invite.from_,
        to=invite.to,
        call_id=invite.call_id,
        cseq=invite.cseq,
        routes=invite.routes,
        headers=headers,
    )
