"""Whether a domain lets a request in: by its lists, for calls and for registrations alike.

One challenger serves all domains and trunks, for they share a realm. What a stranger learns is
little: a user that doesn't exist is asked for a password as any other. Who comes by WebSocket has
to prove a user, wherever it comes from.
"""

from collections.abc import Callable
from ipaddress import ip_address
from typing import Final

import msgspec

from gateway.accounts import Accounts
from gateway.model import AccountStatus
from gateway.sip.directory import SipDirectory
from gateway.sip.floods import Floods
from gateway.sip.model import REALM, Domain, Need, Purpose
from gateway.sip.offers import Offers
from gateway.sip.refusals import Ask, Deny, Rule, deny, explained, refusal
from protocols.sip import challenger as digest
from protocols.sip.agent_commands import Reply
from protocols.sip.challenger import Accepted, Challenged, Challenger, Demand
from protocols.sip.message import Headers, NameAddr, Request
from protocols.sip.transport import SECURE, SOCKETS, Flow
from protocols.sip.uri import SipUri, Uri, format_uri

_PURPOSES: Final = {"REGISTER": Purpose.REGISTRATIONS}


class Passed(msgspec.Struct, frozen=True, kw_only=True):
    """The domain lets it in; `username` is proven, "" where its address alone was asked."""

    domain: Domain
    username: str


class Gate:
    """See the module; `now` is always in seconds of the epoch.

    `proved` is told of each flow by which somebody's password came.
    """

    def __init__(
        self,
        directory: SipDirectory,
        accounts: Accounts,
        challenger: Challenger,
        floods: Floods,
        *,
        proved: Callable[[Flow], None] | None = None,
    ) -> None:
        self._proved = proved
        self._directory = directory
        self._accounts = accounts
        self._challenger = challenger
        self._floods = floods
        self._offers = Offers(challenger.algorithms)

    def domain(self, *places: Uri | NameAddr) -> Domain | None:
        """The first of our domains that one of these is in."""
        for each in places:
            found = self._directory.domain(host_of(each))
            if found is not None:
                return found
        return None

    def is_active(self, account_sid: str) -> bool:
        """Whether an account may do anything."""
        account = self._accounts.get(account_sid)
        return account is not None and account.status is AccountStatus.ACTIVE

    def is_open(self, account_sid: str) -> bool:
        """Whether an account is there and was not closed."""
        account = self._accounts.get(account_sid)
        return account is not None and account.status is not AccountStatus.CLOSED

    def admits(self, flow: Flow, now: float) -> bool:
        """Whether a request that came by `flow` may be looked at; it is counted."""
        return self._floods.admits(flow.remote[0], now)

    def judge(
        self, domain: Domain, request: Request, flow: Flow, now: float
    ) -> Passed | Ask | Deny:
        """Whether `domain` lets in an admitted request, a REGISTER or a call."""
        purpose = _PURPOSES.get(request.method, Purpose.CALLS)
        needs = self._directory.needs(domain, purpose)
        rule = self._fault(domain, needs, purpose, flow)
        if rule is not None:
            return deny(rule)
        username = ""
        if Need.CREDENTIALS in needs:
            proven = self.prove(
                request,
                flow,
                lambda _, name: self._directory.hashes(domain, purpose, name),
                now,
                claimed=user_of(request.to if purpose is Purpose.REGISTRATIONS else request.from_),
            )
            if not isinstance(proven, Accepted):
                return proven
            username = proven.username
        else:
            self._floods.proved(flow.remote[0])
        return Passed(domain=domain, username=username)

    def prove(
        self,
        request: Request,
        flow: Flow,
        accounts: digest.Accounts,
        now: float,
        *,
        claimed: str = "",
    ) -> Accepted | Ask | Deny:
        """Whether the request bears the right password of one of `accounts`.

        `claimed` is whose it says to be before it is asked, "" if that can't be told.
        """
        source = flow.remote[0]
        demand = Demand(
            realm=REALM,
            method=request.method,
            uri=format_uri(request.uri),
            body=request.body,
            source=source,
            algorithms=self._offers.of(request, source, claimed, now),
            claimed=claimed,
        )
        found = self._challenger.check(request.headers, demand, accounts, now=now)
        match found:
            case Accepted():
                self._floods.proved(source)
                self._offers.proved(source, claimed)
                if self._proved is not None:
                    self._proved(flow)
                return found
            case Challenged(status=status, headers=headers):
                return Ask(reply=Reply(status=status, headers=Headers(headers)))
            case digest.Refused(status=status, headers=(), reason=reason):
                return refusal(status, reason)
            case digest.Refused(status=status, headers=headers, reason=reason):
                why = Headers((*headers, *explained(status, reason)))
                return Ask(reply=Reply(status=status, headers=why), rule=reason)

    def _fault(
        self, domain: Domain, needs: frozenset[Need], purpose: Purpose, flow: Flow
    ) -> Rule | None:
        """What forbids it whatever password it has."""
        if not self.is_active(domain.account_sid):
            return Rule.INACTIVE
        if domain.settings.get("secure") == "true" and flow.transport not in SECURE:
            return Rule.INSECURE
        if not needs:
            return Rule.UNMAPPED
        if flow.transport in SOCKETS and Need.CREDENTIALS not in needs:
            return Rule.SOCKET
        if Need.ADDRESS in needs:
            address = ip_address(flow.remote[0])
            if not self._directory.allows(domain, purpose, address):
                return Rule.ADDRESS
        return None


def host_of(place: Uri | NameAddr) -> str:
    """The host that a URI names, "" if it names none."""
    uri = place.uri if isinstance(place, NameAddr) else place
    return uri.host if isinstance(uri, SipUri) else ""


def user_of(place: Uri | NameAddr) -> str:
    """The user that a URI names, "" if it names none."""
    uri = place.uri if isinstance(place, NameAddr) else place
    return uri.user if isinstance(uri, SipUri) else ""
