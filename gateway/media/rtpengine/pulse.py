"""What rtpengine says of all its calls at once, and whether it may have forgotten some of ours."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from gateway.media.ng import NgRefused

# Calls that ended though nobody who has them said so: no packets came, or somebody cut them off.
_ENDED: Final = ("timeoutsessions", "silenttimeoutsessions", "finaltimeoutsessions")
_CUT: Final = "forcedterminatedsessions"


class Pulse(msgspec.Struct, frozen=True, kw_only=True):
    """For how many seconds it has run, calls it has, and how many it ended by itself since."""

    uptime: int
    calls: int
    ended: int


def read(answer: Mapping[str, Any]) -> Pulse:
    """What `statistics` says; `NgRefused` if that can't be read."""
    try:
        said = answer["statistics"]
        total = said["totalstatistics"]
        return Pulse(
            uptime=int(total["uptime"]),
            calls=int(said["currentstatistics"]["sessionstotal"]),
            ended=sum(int(total[each]) for each in (*_ENDED, _CUT)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise NgRefused("its statistics are none that are known") from error


def may_have_forgotten(before: Pulse | None, now: Pulse, fronts: int) -> bool:
    """Whether some of so many fronts of ours may be gone."""
    if before is None or now.calls < fronts:
        return True
    return now.uptime < before.uptime or now.ended != before.ended
