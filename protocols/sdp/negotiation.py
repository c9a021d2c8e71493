"""Offer and answer over the life of a session (RFC 3264 §4, §8; RFC 6337): one machine, no I/O.

It holds the order of things, the version of our description, and what was agreed on. Glare is the
caller's to see: `state` says that an offer is under way, and SIP says 491. Early media: the first
answer makes the plan, also that of a provisional response; each fork has a `Negotiation` of its
own, made by `fork`.
"""

from enum import StrEnum

import msgspec

from protocols.sdp import offer_answer
from protocols.sdp.description import Connection, Origin, SessionDescription
from protocols.sdp.errors import LocalProtocolError
from protocols.sdp.matching import Refused
from protocols.sdp.media import LocalMedia, MediaPlan
from protocols.sdp.offer_answer import NO_PAST, Accepted, Answered, Past, Secret, remember


class State(StrEnum):
    """Whose offer waits for an answer."""

    STABLE = "stable"
    LOCAL_OFFER = "local-offer"
    REMOTE_OFFER = "remote-offer"


class Negotiation:
    """One side of a session.

    `session_id` is a number that no other session of ours has (RFC 8866 §5.2), `key` gives so
    many octets for a key of SRTP. `plan` is what holds now, None before the first agreement; it
    stays when an offer comes to nothing.
    """

    def __init__(self, *, session_id: int, key: Secret) -> None:
        self.state = State.STABLE
        self.plan: MediaPlan | None = None
        self.local: SessionDescription | None = None
        self.remote: SessionDescription | None = None
        self._key = key
        self._origin = Origin(
            session_id=str(session_id), version=session_id, connection=Connection(address="")
        )
        self._written: SessionDescription | None = None
        self._offered: SessionDescription | None = None
        self._offering: LocalMedia | None = None
        self._before: Past = NO_PAST  # up to the exchange of `local` and `remote`

    def __repr__(self) -> str:
        return f"<Negotiation {self.state} of session {self._origin.session_id}>"

    def offer(self, local: LocalMedia) -> SessionDescription:
        """Our offer; the answer goes to `accept`, its refusal to `withdraw`."""
        self._need_stable()
        made = offer_answer.offer(local, origin=self._origin, key=self._key, past=self._past())
        self._offered, self._offering = self._versioned(made), local
        self.state = State.LOCAL_OFFER
        return self._offered

    def repeat(self, local: LocalMedia) -> None:
        """Offer once more what was described last, whoever offered then, as a refresh does."""
        self._need_stable()
        if self.local is None:
            raise LocalProtocolError("nothing was agreed on that could be said again")
        self._offered, self._offering = self.local, local
        self.state = State.LOCAL_OFFER

    def accept(self, answered: SessionDescription) -> Accepted | Refused:
        """Take the peer's answer.

        Until the next offer of either side another one may follow: a 2xx whose description
        differs from that of the 183 before it. What the offer was then stands against it anew.
        """
        if self._offered is None or self._offering is None:
            raise LocalProtocolError("there is no offer of ours to answer")
        result = offer_answer.accept(self._offered, answered, self._offering)
        self.state = State.STABLE
        if isinstance(result, Accepted):
            self._agree(self._offered, answered, result.plan)
        return result

    def receive_offer(self, offered: SessionDescription) -> None:
        """Take the peer's offer; `answer` or `withdraw` follows."""
        self._need_stable()
        self._offered, self._offering = offered, None
        self.state = State.REMOTE_OFFER

    def answer(self, local: LocalMedia) -> Answered | Refused:
        """Our answer. The same offer sent again gets the same one while `local` is the same.

        After `Refused` all is as it was before the offer.
        """
        theirs = self._offered
        if self.state is not State.REMOTE_OFFER or theirs is None:
            raise LocalProtocolError(f"offer and answer: {self.state}, there is no offer to answer")
        result = offer_answer.answer(
            theirs, local, origin=self._origin, key=self._key, past=self._past()
        )
        self.withdraw()
        if isinstance(result, Refused):
            return result
        ours = self._versioned(result.description)
        self._agree(ours, theirs, result.plan)
        return Answered(description=ours, plan=result.plan)

    def withdraw(self) -> None:
        """The offer under way came to nothing (RFC 3261 §14.1): what was agreed on holds."""
        self.state = State.STABLE
        self._offered = self._offering = None

    def fork(self) -> "Negotiation":
        """The same for another dialog that our offer made (RFC 3264 §4; RFC 3261 §13.2.2.4)."""
        forked = object.__new__(Negotiation)
        vars(forked).update(vars(self))
        return forked

    def _need_stable(self) -> None:
        if self.state is not State.STABLE:
            raise LocalProtocolError(f"offer and answer: {self.state}, so no other offer")

    def _versioned(self, made: SessionDescription) -> SessionDescription:
        """`made` with a version that differs from the last one's if anything does (§8)."""
        last = self._written
        if last is not None and msgspec.structs.replace(made, origin=last.origin) != last:
            version = self._origin.version + 1
            self._origin = msgspec.structs.replace(self._origin, version=version)
            origin = msgspec.structs.replace(made.origin, version=version)
            made = msgspec.structs.replace(made, origin=origin)
        self._written = made
        return made

    def _past(self) -> Past:
        """What to keep to now. Most sessions have one exchange, and never come to ask."""
        if self.local is None or self.remote is None:
            return self._before
        return remember(self._before, ours=self.local, theirs=self.remote)

    def _agree(self, ours: SessionDescription, theirs: SessionDescription, plan: MediaPlan) -> None:
        self._before = self._past()
        self.local, self.remote, self.plan = ours, theirs, plan
