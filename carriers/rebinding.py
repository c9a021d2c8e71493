"""When and where the next attempt to bind is made: pure, tested with the clock in the hand."""

from collections.abc import Callable
from typing import Final

from carriers.model import Carrier
from protocols.smpp.constants import CommandStatus

FIRST_DELAY: Final = 0.1  # seconds before the second attempt, doubled after each failed one
LONGEST_DELAY: Final = 30.0
STABLE_AFTER: Final = 2.0  # seconds after which a bind counts as good and the delays start anew

# Trying a refused account at full pace gets it locked, and no attempt of ours repairs it.
FIRST_REFUSED_DELAY: Final = 60.0
LONGEST_REFUSED_DELAY: Final = 600.0

_S = CommandStatus
ADVICE: Final[dict[int, str]] = {
    _S.ESME_RBINDFAIL: "check that the carrier opened the account for this bind kind and that"
    " it allows this address and one more bind",
    _S.ESME_RINVPASWD: "check password; SMPP allows 8 octets, and carriers cut longer ones",
    _S.ESME_RINVSYSID: "check system_id, its case too, and that host and port are the right ones",
    _S.ESME_RINVSYSTYP: "check system_type; most carriers want it empty",
}

Address = tuple[str, int]


def addresses_of(carrier: Carrier) -> tuple[Address, ...]:
    """Where `carrier` is reached, in the order of preference: host and port, then its backup.

    A backup without a port is at the port of the first.
    """
    first = (carrier.host, carrier.port)
    if not carrier.backup:
        return (first,)
    host, colon, port = carrier.backup.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = carrier.backup, str(carrier.port)
    return (first, (host.strip("[]"), int(port)))


class Rebinding:
    """When the next attempt to bind is due and at which address; it waits for nobody.

    Delays double from `FIRST_DELAY` to `LONGEST_DELAY`, from `FIRST_REFUSED_DELAY` to
    `LONGEST_REFUSED_DELAY` if the account was refused, and are spread over their upper half by
    `random` (0 to 1), so that many binds do not come back in step.
    """

    def __init__(self, addresses: tuple[Address, ...], random: Callable[[], float]) -> None:
        """`addresses` are tried in turn, the first one first."""
        self._addresses = addresses
        self._random = random
        self._attempts = 0
        self._failures = 0
        self._refusals = 0

    def next_address(self) -> Address:
        """The address of the attempt that begins now."""
        address = self._addresses[self._attempts % len(self._addresses)]
        self._attempts += 1
        return address

    def lost(self, up_for: float) -> float:
        """A bind that was up for `up_for` seconds is gone; return the seconds to wait.

        After a good one the next attempt is at the first address again, and soon.
        """
        self._refusals = 0
        if up_for >= STABLE_AFTER:
            self._attempts = 0
            self._failures = 0
        return self.failed()

    def failed(self) -> float:
        """No bind came about; return the seconds to wait."""
        self._failures += 1
        return self._spread(FIRST_DELAY, LONGEST_DELAY, self._failures)

    def refused(self, command_status: int) -> float:
        """The carrier refused the bind with `command_status`; return the seconds to wait."""
        if command_status not in ADVICE:
            return self.failed()
        self._refusals += 1
        return self._spread(FIRST_REFUSED_DELAY, LONGEST_REFUSED_DELAY, self._refusals)

    def _spread(self, first: float, longest: float, attempt: int) -> float:
        delay = min(longest, first * 2.0 ** min(attempt - 1, 20))
        return delay * (0.5 + self._random() / 2)
