"""A queue as a machine: who waits in it, who takes them out of it, and how each wait ends.

It has no clock and no I/O: whoever runs it says what happens and carries out what comes back. Who
waits longest is the first to be joined to who dials the queue, and who dials an empty one waits as
well, first come, first served. A member is taken once: from then on the two belong together, and
the end of one is that of the other.
Source: https://www.twilio.com/docs/voice/twiml/queue and /enqueue.
"""

from enum import StrEnum
from typing import Final

import msgspec

from twiml.call import QueueResult
from twiml.parameters import Waiting

__all__ = [
    "Agent",
    "Freed",
    "Full",
    "Greeting",
    "Greets",
    "Joins",
    "Left",
    "Queue",
]


class Greeting(StrEnum):
    """Whether who waited hears a document before they are joined."""

    NONE = "none"
    DOCUMENT = "document"


class Agent(msgspec.Struct, frozen=True, kw_only=True):
    """Who dials the queue: the SID of their call, and how the member is greeted."""

    call_sid: str
    greeting: Greeting = Greeting.NONE


# What is to be done


class Greets(msgspec.Struct, frozen=True):
    """The member waits no more, and hears the agent's document first."""

    call_sid: str
    agent: str


class Joins(msgspec.Struct, frozen=True):
    """The two hear each other from now on."""

    call_sid: str
    agent: str


class Left(msgspec.Struct, frozen=True):
    """The member's wait is over after so many seconds; their documents go on."""

    call_sid: str
    result: QueueResult
    seconds: int


class Freed(msgspec.Struct, frozen=True):
    """The agent's dial is over; `call_sid` is the member they had, "" for none."""

    agent: str
    result: QueueResult
    call_sid: str = ""
    seconds: int = 0


Do = Greets | Joins | Left | Freed


class Full(msgspec.Struct, frozen=True):
    """Nobody else may wait here now."""


class _Stage(StrEnum):
    WAITING = "waiting"
    GREETED = "greeted"
    JOINED = "joined"


class _Member(msgspec.Struct):
    call_sid: str
    since: float
    stage: _Stage = _Stage.WAITING
    agent: str = ""
    taken: float = 0.0


# How a wait ends that was not yet, or is, a talk, by what ended it.
_ENDS: Final = {
    (_Stage.WAITING, QueueResult.HANGUP): QueueResult.HANGUP,
    (_Stage.WAITING, QueueResult.REDIRECTED): QueueResult.REDIRECTED,
    (_Stage.GREETED, QueueResult.HANGUP): QueueResult.BRIDGING,
    (_Stage.GREETED, QueueResult.REDIRECTED): QueueResult.BRIDGING,
    (_Stage.JOINED, QueueResult.HANGUP): QueueResult.BRIDGED,
    (_Stage.JOINED, QueueResult.REDIRECTED): QueueResult.REDIRECTED_FROM_BRIDGED,
}
_PARTED: Final = {_Stage.GREETED: QueueResult.BRIDGING, _Stage.JOINED: QueueResult.BRIDGED}


class Queue:
    """See the module; at most `most` wait in it."""

    def __init__(self, sid: str, most: int) -> None:
        self.sid: Final = sid
        self.most = most
        self._members: dict[str, _Member] = {}
        self._agents: dict[str, Agent] = {}  # who waits for somebody

    @property
    def waiting(self) -> tuple[tuple[str, float], ...]:
        """Who waits and since when, who is first is first."""
        return tuple((each.call_sid, each.since) for each in self._waiting())

    def front(self) -> str:
        """Who waits longest, "" for nobody."""
        return next((each.call_sid for each in self._waiting()), "")

    def average(self, now: float) -> int:
        """How long those who wait have waited."""
        times = [now - each.since for each in self._waiting()]
        return round(sum(times) / len(times)) if times else 0

    def since(self, call_sid: str) -> float:
        """When a member came, 0 for who is none."""
        member = self._members.get(call_sid)
        return 0.0 if member is None else member.since

    def standing(self, call_sid: str, now: float) -> Waiting | None:
        """Where somebody stands who waits."""
        waiting = self._waiting()
        for position, member in enumerate(waiting, 1):
            if member.call_sid == call_sid:
                return Waiting(
                    queue_sid=self.sid,
                    position=position,
                    waited=int(now - member.since),
                    average=self.average(now),
                    size=len(waiting),
                    max_size=self.most,
                )
        return None

    # What happens

    def enqueue(self, call_sid: str, now: float) -> list[Do] | Full:
        """Somebody comes to wait, behind all others."""
        if len(self._waiting()) >= self.most:
            return Full()
        self._members[call_sid] = _Member(call_sid, now)
        return self._match(now)

    def dial(self, agent: Agent, now: float) -> list[Do]:
        """Somebody wants who waits longest."""
        self._agents[agent.call_sid] = agent
        return self._match(now)

    def greeted(self, call_sid: str) -> list[Do]:
        """The member has heard the agent's document."""
        member = self._members.get(call_sid)
        if member is None or member.stage is not _Stage.GREETED:
            return []
        member.stage = _Stage.JOINED
        return [Joins(call_sid, member.agent)]

    def leave(self, call_sid: str, why: QueueResult, now: float) -> list[Do]:
        """The member hung up, left, was sent elsewhere, or can't be served."""
        member = self._members.pop(call_sid, None)
        if member is None:
            return []
        result = _ENDS.get((member.stage, why), why)
        return self._part(member, result, now)

    def go(self, agent: str, now: float) -> list[Do]:
        """The agent hung up, was sent elsewhere, or has waited long enough."""
        if self._agents.pop(agent, None) is not None:
            return [Freed(agent, QueueResult.QUEUE_EMPTY)]
        member = next((each for each in self._members.values() if each.agent == agent), None)
        if member is None:
            return []
        del self._members[member.call_sid]
        return self._part(member, _PARTED[member.stage], now)

    def close(self) -> list[Do]:
        """The queue is removed: nobody comes any more for whom an agent could wait."""
        agents, self._agents = self._agents, {}
        return [Freed(agent, QueueResult.QUEUE_NOT_FOUND) for agent in agents]

    # Inside

    def _waiting(self) -> list[_Member]:
        return [each for each in self._members.values() if each.stage is _Stage.WAITING]

    def _match(self, now: float) -> list[Do]:
        dos: list[Do] = []
        while (call_sid := self.front()) and self._agents:
            agent = self._agents.pop(next(iter(self._agents)))
            member = self._members[call_sid]
            member.agent, member.taken = agent.call_sid, now
            if agent.greeting is Greeting.DOCUMENT:
                member.stage = _Stage.GREETED
                dos.append(Greets(call_sid, agent.call_sid))
            else:
                member.stage = _Stage.JOINED
                dos.append(Joins(call_sid, agent.call_sid))
        return dos

    def _part(self, member: _Member, result: QueueResult, now: float) -> list[Do]:
        seconds = int((member.taken or now) - member.since)
        dos: list[Do] = [Left(member.call_sid, result, seconds)]
        if member.agent:
            dos.append(Freed(member.agent, result, member.call_sid, seconds))
        return dos
