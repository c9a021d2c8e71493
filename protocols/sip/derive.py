"""Messages that follow from another by rule alone: a response, the ACK of a refusal, a CANCEL.

What a user of transactions has to say in them (a tag, a reason, a body) is an argument; all else
is copied from where the specification says.
"""

from typing import Final

from msgspec.structs import replace

from protocols.sip.message import NO_HEADERS, Headers, NameAddr, Request, Response

# RFC 3261 §21 and what came later: 3262, 3265, 3313, 3329, 3911, 4028, 4412, 4474, 5360, 5393,
# 5626, 5839, 6086, 8688.
REASONS: Final[dict[int, str]] = {
    100: "Trying",
    180: "Ringing",
    181: "Call Is Being Forwarded",
    182: "Queued",
    183: "Session Progress",
    199: "Early Dialog Terminated",
    200: "OK",
    202: "Accepted",
    204: "No Notification",
    300: "Multiple Choices",
    301: "Moved Permanently",
    302: "Moved Temporarily",
    305: "Use Proxy",
    380: "Alternative Service",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    410: "Gone",
    412: "Conditional Request Failed",
    413: "Request Entity Too Large",
    414: "Request-URI Too Long",
    415: "Unsupported Media Type",
    416: "Unsupported URI Scheme",
    417: "Unknown Resource-Priority",
    420: "Bad Extension",
    421: "Extension Required",
    422: "Session Interval Too Small",
    423: "Interval Too Brief",
    428: "Use Identity Header",
    429: "Provide Referrer Identity",
    430: "Flow Failed",
    433: "Anonymity Disallowed",
    436: "Bad Identity Info",
    437: "Unsupported Credential",
    438: "Invalid Identity Header",
    439: "First Hop Lacks Outbound Support",
    440: "Max-Breadth Exceeded",
    469: "Bad Info Package",
    470: "Consent Needed",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    483: "Too Many Hops",
    484: "Address Incomplete",
    485: "Ambiguous",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    489: "Bad Event",
    491: "Request Pending",
    493: "Undecipherable",
    494: "Security Agreement Required",
    500: "Server Internal Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Server Time-out",
    505: "Version Not Supported",
    513: "Message Too Large",
    580: "Precondition Failure",
    600: "Busy Everywhere",
    603: "Decline",
    604: "Does Not Exist Anywhere",
    606: "Not Acceptable",
    607: "Unwanted",
    608: "Rejected",
}


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
        reason=reason or REASONS.get(status, "Unknown"),
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
