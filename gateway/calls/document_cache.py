"""Documents that an app lets be kept: asked for by GET, and good for as long as HTTP says.

Whatever is asked with other parameters is another document, as Twilio has it; so what is kept
serves the call that comes back to it, such as to a menu that is heard again.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import msgspec

from gateway.speech.freshness import Freshness, freshness, renewed
from gateway.webhooks.fetch import Fetcher
from gateway.webhooks.request import Answer, Failure, Request

MOST: Final = 256
"""Documents that are kept, of 64 KiB at most."""

_GET: Final = "GET"
_NOT_MODIFIED: Final = 304

_Key = tuple[str, str, tuple[tuple[str, str], ...]]


class _Kept(msgspec.Struct, frozen=True):
    answer: Answer
    known: Freshness


class DocumentCache:
    """Asks by `fetcher` for what it does not have; `clock` gives epoch seconds."""

    def __init__(self, fetcher: Fetcher, clock: Callable[[], float]) -> None:
        self._fetcher = fetcher
        self._clock = clock
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()

    async def fetch(self, request: Request) -> Answer | Failure:
        """See `Fetcher.fetch`; the answer may be one that was given before."""
        if request.method != _GET:
            return await self._fetcher.fetch(request)
        key = (request.account_sid, request.url, request.parameters)
        kept = self._kept.get(key)
        if kept is None:
            return self._keep(key, await self._fetcher.fetch(request))
        self._kept.move_to_end(key)
        if kept.known.until > self._clock():
            return msgspec.structs.replace(kept.answer, cookies=request.cookies, elapsed=0.0)
        asked = msgspec.structs.replace(request, conditions=kept.known.conditions)
        answer = await self._fetcher.fetch(asked)
        if isinstance(answer, Failure) or answer.status != _NOT_MODIFIED:
            return self._keep(key, answer)
        known = renewed(kept.known, answer.freshness, self._clock())
        again = msgspec.structs.replace(kept.answer, cookies=answer.cookies, elapsed=answer.elapsed)
        self._kept[key] = _Kept(again, known)
        return again

    def _keep(self, key: _Key, answer: Answer | Failure) -> Answer | Failure:
        self._kept.pop(key, None)
        if isinstance(answer, Answer):
            known = freshness(answer.freshness, self._clock())
            if known.may_be_stored and (known.conditions or known.until > self._clock()):
                self._kept[key] = _Kept(answer, known)
                if len(self._kept) > MOST:
                    self._kept.popitem(last=False)
        return answer
