"""A steady load: so many texts per second over REST, some of them to numbers that misbehave."""

import asyncio
import time
from collections import Counter

import aiohttp

from tests.integration.gateway_process import NUMBER
from tests.running import RunningGateway

# One text in so many goes to a number with these last digits; the rest to one that is well.
# 0001 asks for a pause each time, so that many of them would be a test of the throttle alone.
MISBEHAVING = {"0001": 500, "0003": 20, "0005": 25}
FINAL_OF = {"0003": "failed"}
_WELL = "1234"
_BODIES = ("A short text", "Привет 👋", "A text of two parts. " * 10)


class Load:
    """`accepted` is SID -> last digits of the number it went to."""

    def __init__(self, gateway: RunningGateway, callback: str, rate: float) -> None:
        self._gateway = gateway
        self._callback = callback
        self._rate = rate
        self.accepted: dict[str, str] = {}
        self.refused: Counter[int] = Counter()
        self.behind = 0.0  # seconds that the load was late at worst

    async def run(self, seconds: float) -> None:
        """Send for `seconds`; each text leaves at its time, whatever became of those before."""
        gateway = self._gateway
        auth = aiohttp.BasicAuth(gateway.account_sid, gateway.auth_token)
        began = time.monotonic()
        connector = aiohttp.TCPConnector(limit=50)
        async with aiohttp.ClientSession(auth=auth, connector=connector) as session:
            sending = set()
            for number in range(round(seconds * self._rate)):
                late = time.monotonic() - began - number / self._rate
                self.behind = max(self.behind, late)
                if late < 0:
                    await asyncio.sleep(-late)
                task = asyncio.create_task(self._send(session, number))
                sending.add(task)
                task.add_done_callback(sending.discard)
            await asyncio.gather(*sending)

    async def _send(self, session: aiohttp.ClientSession, number: int) -> None:
        digits = digits_of(number)
        form = {
            "To": f"+44770090{digits}",
            "From": NUMBER,
            "Body": _BODIES[number % len(_BODIES)],
            "StatusCallback": self._callback,
        }
        path = f"/2010-04-01/Accounts/{self._gateway.account_sid}/Messages.json"
        async with session.post(self._gateway.url + path, data=form) as response:
            if response.status == 201:
                self.accepted[(await response.json())["sid"]] = digits
            else:
                self.refused[response.status] += 1


def digits_of(number: int) -> str:
    """The last digits that text `number` goes to."""
    for digits, one_in in MISBEHAVING.items():
        if number % one_in == one_in - 1:
            return digits
    return _WELL
