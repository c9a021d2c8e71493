"""Whose an INVITE is: a carrier's, a user's of one of our domains, or nobody's.

In this order: a domain that the request is for, then a trunk that calls from its address, then a
domain that the caller says to be of, then a trunk that proves its username. Who is none of these
is asked for a password like a user with a wrong name: there is nothing to learn by asking. An
address proves nothing that comes by WebSocket: any page that runs there may send it, and a proxy
sends what all the world does. Nothing here waits; what is not let in says by which rule.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final, Protocol

import msgspec

from carriers.caller_id import Caller, caller_of
from carriers.dialling import number_of
from carriers.inbound import Belongs, Unknown
from carriers.trunks import Trunk
from gateway.model import PhoneNumber
from gateway.sip.gate import Gate, Passed, host_of, user_of
from gateway.sip.model import Domain
from gateway.sip.refusals import Ask, Deny, RefusalLog, Refused, Rule, deny
from gateway.sip.rules import hashes_of
from protocols.sip.agent_events import Invited
from protocols.sip.challenger import Accepted
from protocols.sip.codec import Malformed
from protocols.sip.message import Request
from protocols.sip.transport import SOCKETS, Flow
from protocols.sip.uri import SipUri, TelUri, Uri


class Trunks(Protocol):
    """The trunks at work."""

    def whose(self, address: str) -> Belongs | Unknown:
        """The trunk that calls from an IP address."""
        ...

    def get(self, name: str) -> Trunk | None:
        """What the config says of a trunk."""
        ...


class FromTrunk(msgspec.Struct, frozen=True, kw_only=True):
    """A carrier's call for `number`, which was dialled as `to`."""

    carrier: str
    number: PhoneNumber
    to: str
    caller: Caller

    @property
    def account_sid(self) -> str:
        """Whose the number is."""
        return self.number.account_sid


class FromUser(msgspec.Struct, frozen=True, kw_only=True):
    """A call of a user of ours, who has proven it; `to_user` is what was dialled."""

    domain: Domain
    username: str
    to_user: str

    @property
    def account_sid(self) -> str:
        """Whose the domain is."""
        return self.domain.account_sid


class FromAddress(msgspec.Struct, frozen=True, kw_only=True):
    """A call from an address that a domain lets in; `caller` is what From says, unproven."""

    domain: Domain
    address: str
    caller: str
    to_user: str

    @property
    def account_sid(self) -> str:
        """Whose the domain is."""
        return self.domain.account_sid


Admitted = FromTrunk | FromUser | FromAddress
Verdict = Admitted | Ask | Deny

_NOBODY: Final[Mapping[str, str]] = {}
_NOWHERE: Final = ""  # an address that no trunk calls from
_MAX_SHOWN: Final = 160  # characters, some of them a peer's


class Admission:
    """See the module. `holder` gives whose a number is, `clock` seconds of the epoch."""

    def __init__(
        self,
        gate: Gate,
        trunks: Trunks,
        holder: Callable[[str], PhoneNumber | None],
        *,
        clock: Callable[[], float],
        log: RefusalLog | None = None,
    ) -> None:
        self._gate = gate
        self._trunks = trunks
        self._holder = holder
        self._clock = clock
        self._refusals = RefusalLog() if log is None else log

    def judge(self, event: Invited) -> Verdict:
        """Whose the call is, or what to refuse it with; a refusal is in the log."""
        now = self._clock()
        request, flow = event.request, event.flow
        verdict = self._verdict(request, flow, now)
        if isinstance(verdict, Ask | Deny) and verdict.rule:
            self.note(event, verdict.rule)
        return verdict

    def note(self, event: Invited, rule: str) -> None:
        """Keep in the log that a call was refused, and by which rule."""
        request = event.request
        refused = Refused(
            method=request.method,
            domain=host_of(request.uri),
            user=user_of(request.from_),
            source=event.flow.remote[0],
            rule=rule,
        )
        self._refusals.tell(refused, self._clock())

    def note_unread(self, malformed: Malformed, flow: Flow) -> None:
        """What came by `flow` is no SIP: it is in the log as a refusal."""
        written = malformed.reason.encode("utf-8", "backslashreplace").decode()
        refused = Refused(
            method=malformed.kind,
            domain="",
            user="",
            source=flow.remote[0],
            rule=f"it can't be read: {written[:_MAX_SHOWN]}",
        )
        self._refusals.tell(refused, self._clock())

    def _verdict(self, request: Request, flow: Flow, now: float) -> Verdict:
        domain = self._gate.domain(request.uri, request.to)
        usernames = _NOBODY
        if domain is None:
            whose = self._trunks.whose(_NOWHERE if flow.transport in SOCKETS else flow.remote[0])
            if isinstance(whose, Belongs):
                return self._of_address(whose, request, flow, now)
            usernames = whose.usernames
        if not self._gate.admits(flow, now):
            return deny(Rule.FLOOD)
        domain = domain or self._gate.domain(request.from_)
        if domain is not None:
            return self._of_domain(domain, request, flow, now)
        return self._of_username(usernames, request, flow, now)

    def _of_domain(self, domain: Domain, request: Request, flow: Flow, now: float) -> Verdict:
        passed = self._gate.judge(domain, request, flow, now)
        if not isinstance(passed, Passed):
            return passed
        dialled = _dialled(request.uri)
        if passed.username:
            return FromUser(domain=domain, username=passed.username, to_user=dialled)
        caller = _dialled(request.from_.uri)
        return FromAddress(domain=domain, address=flow.remote[0], caller=caller, to_user=dialled)

    def _of_address(self, whose: Belongs, request: Request, flow: Flow, now: float) -> Verdict:
        """A trunk's by its address, and by its password too where it wants that."""
        if whose.username:
            proven = self._prove({whose.username: whose.trunk}, request, flow, now)
            if not isinstance(proven, Accepted):
                return proven
        return self._of_trunk(whose.trunk, request)

    def _of_username(
        self, usernames: Mapping[str, str], request: Request, flow: Flow, now: float
    ) -> Verdict:
        proven = self._prove(usernames, request, flow, now)
        if not isinstance(proven, Accepted):
            return proven
        return self._of_trunk(usernames[proven.username], request)

    def _prove(
        self, usernames: Mapping[str, str], request: Request, flow: Flow, now: float
    ) -> Accepted | Ask | Deny:
        def hashes(realm: str, username: str) -> Mapping[str, str] | None:
            del realm  # all have the same
            trunk = self._trunks.get(usernames.get(username, ""))
            return None if trunk is None else _hashes(username, trunk.password)

        return self._gate.prove(request, flow, hashes, now)

    def _of_trunk(self, name: str, request: Request) -> Verdict:
        """A trunk's call is for a number that an account has: the one asked for, or that in To."""
        trunk = self._trunks.get(name)
        if trunk is None:  # it was taken out of the config just now
            return deny(Rule.NO_NUMBER)
        for uri in (request.uri, request.to.uri):
            to = number_of(uri, trunk)
            number = self._holder(to) if to else None
            if number is not None:
                break
        else:
            return deny(Rule.NO_NUMBER)
        if not self._gate.is_active(number.account_sid):
            return deny(Rule.INACTIVE)
        return FromTrunk(carrier=name, number=number, to=to, caller=caller_of(request, trunk))


def _dialled(uri: Uri) -> str:
    match uri:
        case SipUri(user=user):
            return user
        case TelUri(number=number):
            return number
    return ""


# As many as there are trunks that prove a username; computing them takes as long as checking one.
_hashes: Final = lru_cache(maxsize=256)(hashes_of)
