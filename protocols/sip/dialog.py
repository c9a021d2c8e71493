"""A dialog: what two ends know of each other between requests (RFC 3261 §12).

It writes our requests and puts those of the peer into order. Which of its dialogs becomes the
call, and what is said in it, is for `session`.
"""

from collections.abc import Hashable
from typing import Final

from msgspec.structs import replace

from protocols.sip.derive import with_tag
from protocols.sip.message import NO_HEADERS, Headers, NameAddr, Request, Response
from protocols.sip.uri import SipUri, Uri, parameter

MAX_CSEQ: Final = 2**31 - 1
"""CSeq stays below 2**31 (§8.1.1.5)."""

Routes = tuple[NameAddr, ...]


class Dialog:
    """One dialog, early or confirmed, from our side.

    `local` and `remote` are From and To of our requests, tags included; a peer of RFC 2543 may
    have none. `remote_cseq` is None until the peer asked for something.
    """

    __slots__ = (
        "call_id",
        "key",
        "local",
        "local_cseq",
        "remote",
        "remote_cseq",
        "routes",
        "secure",
        "target",
    )

    def __init__(
        self,
        *,
        call_id: str,
        local: NameAddr,
        remote: NameAddr,
        target: Uri,
        routes: Routes,
        local_cseq: int,
        remote_cseq: int | None,
    ) -> None:
        self.call_id = call_id
        self.local = local
        self.remote = remote
        self.target = as_target(target)
        self.routes = routes
        self.local_cseq = local_cseq
        self.remote_cseq = remote_cseq
        self.secure = isinstance(target, SipUri) and target.scheme == "sips"
        self.key: Hashable = (call_id, local.tag, remote.tag)
        """Its name: Call-ID, our tag, the peer's."""

    @classmethod
    def calling(cls, invite: Request, response: Response) -> "Dialog":
        """The one that `response` makes of our INVITE (§12.1.2).

        One without Contact, as early ones often are, leaves the target where the INVITE went.
        """
        return cls(
            call_id=invite.call_id,
            local=invite.from_,
            remote=response.to,
            target=_contact(response) or invite.uri,
            routes=response.record_routes[::-1],
            local_cseq=invite.cseq,
            remote_cseq=None,
        )

    @classmethod
    def called(cls, invite: Request, tag: str) -> "Dialog":
        """The one that a peer's INVITE opens, `tag` being ours (§12.1.1).

        One of RFC 2543 may have no Contact: its From is the target then.
        """
        (whence, *_) = invite.contacts or (invite.from_,)
        return cls(
            call_id=invite.call_id,
            local=with_tag(invite.to, tag),
            remote=invite.from_,
            target=whence.uri,
            routes=invite.record_routes,
            local_cseq=0,
            remote_cseq=invite.cseq,
        )

    @property
    def next_hop(self) -> Uri:
        """Where our requests go: the first route, else the target (§12.2.1.1)."""
        return self.routes[0].uri if self.routes else self.target

    def confirm(self, response: Response) -> None:
        """Take what the 2xx to our INVITE says, whatever was said before it (§13.2.2.4)."""
        self.routes = response.record_routes[::-1]
        self.refresh(response)

    def refresh(self, message: Request | Response) -> None:
        """Take the target of an INVITE or UPDATE, or of a response to one (§12.2)."""
        uri = _contact(message)
        if uri is not None:
            self.target = as_target(uri)

    def takes(self, request: Request) -> bool:
        """Whether a peer's request is in order (§12.2.2); its number counts from now on."""
        if self.remote_cseq is not None and request.cseq < self.remote_cseq:
            return False
        self.remote_cseq = request.cseq
        return True

    def request(
        self,
        method: str,
        *,
        cseq: int = 0,
        contacts: tuple[NameAddr, ...] = (),
        headers: Headers = NO_HEADERS,
        body: bytes = b"",
    ) -> Request:
        """A request of ours without Via; its `cseq` is the next one unless it is given, as to ACK.

        A first route without `lr` belongs to a strict router, which wants to find itself in the
        Request-URI and the target behind the routes (§12.2.1.1).
        """
        uri, routes = self.target, self.routes
        if routes and not _is_loose(routes[0].uri):
            uri, routes = as_target(routes[0].uri), (*routes[1:], NameAddr(uri=self.target))
        if not cseq:
            self.local_cseq += 1
            cseq = self.local_cseq
        return Request(
            method=method,
            uri=uri,
            vias=(),
            from_=self.local,
            to=self.remote,
            call_id=self.call_id,
            cseq=cseq,
            routes=routes,
            contacts=contacts,
            headers=headers,
            body=body,
        )


def as_target(uri: Uri) -> Uri:
    """`uri` without what a Request-URI never has: headers and a method (§19.1.1)."""
    if not isinstance(uri, SipUri):
        return uri
    if uri.headers or parameter(uri.params, "method") is not None:
        params = tuple(each for each in uri.params if each[0] != "method")
        return replace(uri, headers=(), params=params)
    return uri


def _contact(message: Request | Response) -> SipUri | None:
    """Where its sender is reached: a SIP URI or nowhere (§8.1.1.8)."""
    uri = message.contacts[0].uri if message.contacts else None
    return uri if isinstance(uri, SipUri) else None


def _is_loose(uri: Uri) -> bool:
    return isinstance(uri, SipUri) and parameter(uri.params, "lr") is not None
