"""What a client of the Voice SDK is told of its token: codes of tokens as those of the SDK."""

from collections.abc import Awaitable, Callable
from typing import Final

from gateway.access.tokens import Access, Believed, Invalid
from protocols.voicesdk.errors import Code, Fault

LOOK_AFTER: Final = 1.0
"""Seconds between looks for keys that are new: who makes keys up costs no more."""

_NO_KEY: Final = 20103
_CODES: Final = {
    20005: Code.NO_ACCOUNT,
    20104: Code.TOKEN_EXPIRED,
    20107: Code.BAD_SIGNATURE,
    20157: Code.TOKEN_TOO_LONG,
}


class Judge:
    """Looks at tokens; `look` has this process know the keys that others have made.

    `verify` and `doubt` are those of `access.tokens.Tokens`, `clock` epoch seconds.
    """

    def __init__(
        self,
        verify: Callable[[str, float], Access | Invalid],
        doubt: Callable[[Believed, float], Invalid | None],
        look: Callable[[], Awaitable[None]],
        clock: Callable[[], float],
    ) -> None:
        self._verify = verify
        self._doubt = doubt
        self._look = look
        self._clock = clock
        self._looked = 0.0

    async def judge(self, token: str) -> Access | Fault:
        """What a token allows, or what is wrong with it. Raises `StoreError`."""
        now = self._clock()
        found = self._verify(token, now)
        is_unknown = isinstance(found, Invalid) and found.code == _NO_KEY
        if is_unknown and not 0 <= now - self._looked < LOOK_AFTER:
            self._looked = now
            await self._look()
            found = self._verify(token, self._clock())
        return _fault(found) if isinstance(found, Invalid) else found

    def doubt(self, access: Believed) -> Fault | None:
        """What is wrong by now with a token that was good; None while nothing is."""
        found = self._doubt(access, self._clock())
        return None if found is None else _fault(found)


def _fault(invalid: Invalid) -> Fault:
    return Fault(code=_CODES.get(invalid.code, Code.BAD_TOKEN), message=invalid.message)
