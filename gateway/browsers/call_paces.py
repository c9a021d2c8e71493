"""How often clients of the Voice SDK may begin calls: a bucket for each identity and each account.

A call that begins takes one of the few set-ups that a media worker has each second, and a request
to an app. Whoever has a token may ask for calls without end: what others need stays there for them.
"""

from collections import OrderedDict
from typing import Final

from protocols.sip.pace import Rate

OF_IDENTITY: Final = Rate(per_second=1.0, at_once=10.0)
OF_ACCOUNT: Final = Rate(per_second=10.0, at_once=20.0)
"""A media worker sets up 20 a second, see `[media] set_ups`."""

_MOST_KNOWN: Final = 10_000


class CallPaces:
    """The buckets; those not asked for longest are forgotten. Any clock will do for `now`.

    What an identity is refused its account does not pay for.
    """

    def __init__(self, identity: Rate = OF_IDENTITY, account: Rate = OF_ACCOUNT) -> None:
        self._identities = _Buckets(identity)
        self._accounts = _Buckets(account)

    def admits(self, account_sid: str, identity: str, now: float) -> bool:
        """Whether one more call may begin; it is counted."""
        who = (account_sid, identity)
        return self._identities.take(who, now) and self._accounts.take((account_sid, ""), now)

    def held(self, now: float) -> int:
        """How many identities and accounts may begin none at this moment."""
        return self._identities.empty(now) + self._accounts.empty(now)


class _Buckets:
    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._kept: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()

    def take(self, who: tuple[str, str], now: float) -> bool:
        tokens = self._filled(*self._kept.get(who, (self._rate.at_once, now)), now)
        allowed = tokens >= 1.0
        self._kept[who] = (tokens - 1.0 if allowed else tokens, now)
        self._kept.move_to_end(who)
        if len(self._kept) > _MOST_KNOWN:
            self._kept.popitem(last=False)
        return allowed

    def empty(self, now: float) -> int:
        return sum(self._filled(*each, now) < 1.0 for each in self._kept.values())

    def _filled(self, tokens: float, at: float, now: float) -> float:
        return min(self._rate.at_once, tokens + max(0.0, now - at) * self._rate.per_second)
