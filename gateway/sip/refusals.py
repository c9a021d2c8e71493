"""Why a phone or a caller is turned away, in words: the rule that every refusal names.

The rule's sentence goes out in Reason and Warning and stands in the log, where a flood from one
place is one line every few seconds. A challenge is no refusal, unless credentials came with the
request and were wrong.
"""

from collections import Counter, OrderedDict
from enum import StrEnum
from typing import Final

import msgspec
import structlog

from protocols.sip.agent_commands import Reply
from protocols.sip.headers import (
    Header,
    Reason,
    RetryAfter,
    SipWarning,
    write_reason,
    write_retry_after,
    write_warning,
)
from protocols.sip.message import Headers

_log = structlog.get_logger(__name__)

_AGENT: Final = "trunkline"
_WARNING: Final = 399  # RFC 3261 §20.43: miscellaneous, for a person to read
_RETRY_AFTER: Final = 10  # seconds
_OTHERS: Final = ("", "")
_OTHER_RULE: Final = "other"
_MAX_SHOWN: Final = 64  # characters of what a peer wrote


class Rule(StrEnum):
    """What says no; the value is the sentence for a person."""

    FLOOD = "this address sends too many requests that prove nothing"
    UNKNOWN_DOMAIN = "the domain is not known here"
    NO_REGISTRATIONS = "the domain takes no registrations"
    INSECURE = "the domain takes nothing that does not come by TLS"
    INACTIVE = "the account is suspended or closed"
    UNMAPPED = "the domain has no list of users or addresses for this"
    ADDRESS = "no list of addresses of the domain has this address"
    SOCKET = "an address proves nothing by WebSocket: the domain has no list of users for this"
    ANOTHER_USER = "a user may register its own address alone"
    NO_USER = "To names no user of the domain"
    BUSY = "too many registrations of this user wait already"
    STORE = "nothing can be stored at the moment"
    NO_NUMBER = "no account has the number"
    BEHIND = "signalling is behind by more than [sip] max_lag"


STATUSES: Final[dict[Rule, int]] = {
    Rule.FLOOD: 503,
    Rule.UNKNOWN_DOMAIN: 404,
    Rule.NO_REGISTRATIONS: 403,
    Rule.INSECURE: 403,
    Rule.INACTIVE: 403,
    Rule.UNMAPPED: 403,
    Rule.ADDRESS: 403,
    Rule.SOCKET: 403,
    Rule.ANOTHER_USER: 403,
    Rule.NO_USER: 404,
    Rule.BUSY: 503,
    Rule.STORE: 503,
    Rule.NO_NUMBER: 404,
    Rule.BEHIND: 503,
}
# The whole node is at fault, not who asks: later it may go (RFC 3261 §21.5.4).
_LATER: Final = frozenset({Rule.STORE})


class Deny(msgspec.Struct, frozen=True, kw_only=True):
    """Refuse with `status`; `rule` is the sentence that says why."""

    status: int
    rule: str
    headers: Headers

    @property
    def reply(self) -> Reply:
        """The response."""
        return Reply(status=self.status, headers=self.headers)


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """Answer with a challenge; `rule` says why credentials were not taken, "" if none came."""

    reply: Reply
    rule: str = ""


def deny(rule: Rule) -> Deny:
    """The refusal by `rule`."""
    return _DENIALS[rule]


def refusal(status: int, sentence: str) -> Deny:
    """A refusal by a rule of another wing."""
    return Deny(status=status, rule=sentence, headers=Headers(explained(status, sentence)))


def explained(status: int, sentence: str) -> tuple[Header, Header]:
    """The headers that say why: Reason (RFC 3326) and Warning."""
    return (
        write_reason(Reason(protocol="SIP", cause=status, text=sentence)),
        write_warning(SipWarning(code=_WARNING, agent=_AGENT, text=sentence)),
    )


def _made(rule: Rule) -> Deny:
    made = refusal(STATUSES[rule], rule)
    if rule not in _LATER:
        return made
    wait = write_retry_after(RetryAfter(seconds=_RETRY_AFTER))
    return msgspec.structs.replace(made, headers=made.headers.with_(wait))


_DENIALS: Final = {rule: _made(rule) for rule in Rule}
_NAMES: Final[dict[str, str]] = {rule.value: rule.name.lower() for rule in Rule}


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """One refusal as the log has it: what was asked, by whom, from where, and what said no."""

    method: str
    domain: str
    user: str
    source: str
    rule: str


class RefusalLog:
    """Writes refusals down: of each source the first by each rule, and then every `apart` s how
    many there were, with the last of them.

    Rules of other wings count as one, for what they say may be a peer's doing. At most `sources`
    are told apart, each with each rule; those beyond them count as one. `counts` has all of them,
    by the name of the rule; a rule of another wing is "other". Each line begins with `what`.
    """

    def __init__(
        self, *, apart: float = 10.0, sources: int = 1000, what: str = "a SIP request was refused"
    ) -> None:
        self._what = what
        self._apart = apart
        self._sources = sources
        self.counts: Counter[str] = Counter()
        # By source and rule, in the order of time: when the next line is due, what came since.
        self._quiet: OrderedDict[tuple[str, str], tuple[float, int, Refused]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._quiet)

    def tell(self, refused: Refused, now: float) -> None:
        """One more refusal at `now`."""
        self.flush(now)
        rule = _NAMES.get(refused.rule, _OTHER_RULE)
        self.counts[rule] += 1
        place = (refused.source, rule)
        if place not in self._quiet and len(self._quiet) >= self._sources:
            place = _OTHERS
        known = self._quiet.get(place)
        if known is not None:
            until, count, _ = known
            self._quiet[place] = (until, count + 1, refused)
            return
        self._write(refused, 1)
        self._quiet[place] = (now + self._apart, 0, refused)

    def timer(self) -> float | None:
        """When to call `flush` next."""
        return next(iter(self._quiet.values()))[0] if self._quiet else None

    def flush(self, now: float) -> None:
        """Write what is due by `now`."""
        while (due := self.timer()) is not None and due <= now:
            place, (_, count, last) = self._quiet.popitem(last=False)
            if count:
                self._write(last, count)
                self._quiet[place] = (now + self._apart, 0, last)

    def _write(self, refused: Refused, count: int) -> None:
        if count:
            _log.warning(
                self._what,
                method=refused.method,
                domain=_shown(refused.domain),
                user=_shown(refused.user),
                source=refused.source,
                rule=str(refused.rule),
                count=count,
            )


def _shown(text: str) -> str:
    """What a peer wrote, as a log can hold it."""
    return text[:_MAX_SHOWN].encode("utf-8", "backslashreplace").decode()
