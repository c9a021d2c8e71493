"""DNS for SIP: holds `locating`'s conversations with real name servers (RFC 3263).

Each name is asked for once at a time, however many wait for it, and what was answered is kept for
as long as its owner allows, "there is none" too (RFC 2308). Names whose servers are silent are
answered from what was known before, if it is not too old (RFC 8767): calls go on.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final, Protocol

import dns.asyncresolver
import dns.exception
import dns.message
import dns.nameserver
import dns.rcode
import dns.rdatatype
import dns.resolver
import dns.rrset
import msgspec

from protocols.sip.locating import (
    Abilities,
    Answer,
    Chance,
    Found,
    Kind,
    Located,
    Naptr,
    Question,
    Record,
    Silent,
    Srv,
    Unlocated,
    plan,
)
from protocols.sip.uri import SipUri

MAX_SECTION: Final = 128
"""Records of one section of a reply that are read."""

Clock = Callable[[], float]
Ask = Callable[[Question], Awaitable[Answer]]


class Keeping(msgspec.Struct, frozen=True, kw_only=True):
    """What the cache may hold: answers, and for how many seconds of which kind.

    While name servers are silent (asked again after `silence`), answers are good for `stale` more,
    `stale_again` at a time.
    """

    answers: int = 4096
    longest: float = 86400.0
    longest_none: float = 300.0
    silence: float = 2.0
    stale: float = 3600.0
    stale_again: float = 30.0


class _Kept(msgspec.Struct, frozen=True):
    """An answer, until when it is given, and until when its owner said that it is good."""

    answer: Answer
    until: float
    good: float


class Resolver:
    """Finds the hops of URIs; one for a process. `clock` counts seconds and never goes back."""

    def __init__(
        self,
        ask: Ask,
        *,
        clock: Clock,
        chance: Chance,
        abilities: Abilities,
        keeping: Keeping | None = None,
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._chance = chance
        self._abilities = abilities
        self._keeping = keeping or Keeping()
        self._kept: OrderedDict[Question, _Kept] = OrderedDict()
        self._asking: dict[Question, asyncio.Task[Answer]] = {}

    async def locate(self, uri: SipUri) -> Located | Unlocated:
        """The hops to `uri`, best first; takes as long as its name servers may (`NameServers`)."""
        conversation = plan(uri, self._abilities, self._chance)
        try:
            questions = next(conversation)
            while True:
                questions = conversation.send(await self._answers(questions))
        except StopIteration as end:
            result: Located | Unlocated = end.value
            return result

    async def close(self) -> None:
        """End what is being asked; who waits for it is told that nobody answered."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    async def _answers(self, questions: Sequence[Question]) -> list[Answer]:
        waiting = {
            question: self._asked(question)
            for question in questions
            if self._fresh(question) is None
        }
        if waiting:
            await asyncio.wait(set(waiting.values()))
        return [
            _outcome(waiting[question])
            if question in waiting
            else self._fresh(question) or Silent(reason="the answer is gone")
            for question in questions
        ]

    def _fresh(self, question: Question) -> Answer | None:
        kept = self._kept.get(question)
        return kept.answer if kept is not None and self._clock() < kept.until else None

    def _asked(self, question: Question) -> asyncio.Task[Answer]:
        """The one task that asks this; it runs on when who waits for it is cancelled."""
        task = self._asking.get(question)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._find(question))
            self._asking[question] = task
            task.add_done_callback(lambda _: self._asking.pop(question))
        return task

    async def _find(self, question: Question) -> Answer:
        answer = await self._ask(question)
        now = self._clock()
        if isinstance(answer, Found):
            for other, unasked in answer.additional.items():
                self._keep(other, unasked, now + self._time_of(unasked))
            self._keep(question, answer, now + self._time_of(answer))
            return answer
        old = self._kept.get(question)
        if old is not None and isinstance(old.answer, Found):
            ends = old.good + self._keeping.stale
            if now < ends:
                until = min(now + self._keeping.stale_again, ends)
                self._kept[question] = _Kept(old.answer, until, old.good)
                return old.answer
        self._keep(question, answer, now + self._time_of(answer))
        return answer

    def _keep(self, question: Question, answer: Answer, until: float) -> None:
        self._kept[question] = _Kept(answer, until, until)
        self._kept.move_to_end(question)
        while len(self._kept) > self._keeping.answers:
            self._kept.popitem(last=False)

    def _time_of(self, answer: Answer) -> float:
        match answer:
            case Silent():
                return self._keeping.silence
            case Found(records=()):
                return min(answer.ttl, self._keeping.longest_none)
            case _:
                return min(answer.ttl, self._keeping.longest)


def _outcome(task: asyncio.Task[Answer]) -> Answer:
    if task.cancelled():
        return Silent(reason="asking was ended")
    return task.result()


class NameServers:
    """Asks name servers over UDP, and over TCP what does not fit; an `Ask`.

    `servers` are addresses with ports, asked in this order; with none, those that the system's
    `file` names. One answers within `patience` seconds, all together within `within`.
    """

    def __init__(
        self,
        servers: Sequence[tuple[str, int]] = (),
        *,
        file: str = "/etc/resolv.conf",
        patience: float = 1.0,
        within: float = 4.0,
    ) -> None:
        self._resolver = dns.asyncresolver.Resolver(configure=False)
        if servers:
            self._resolver.nameservers = [
                dns.nameserver.Do53Nameserver(host, port) for host, port in servers
            ]
        else:
            # Without any it still resolves what needs no DNS; each question says what is missing.
            with contextlib.suppress(dns.resolver.NoResolverConfiguration):
                self._resolver.read_resolv_conf(file)
        self._resolver.timeout = patience
        self._resolver.lifetime = within
        self._resolver.use_edns(0, 0, 1232)

    async def __call__(self, question: Question) -> Answer:
        """What is known of `question`; never raises for what servers or names are like."""
        if not self._resolver.nameservers:
            return Silent(reason="no name server is configured")
        try:
            answer = await self._resolver.resolve(
                question.name + ".", question.kind.value, raise_on_no_answer=False
            )
            return read_reply(answer.response)
        except dns.resolver.NXDOMAIN as none:
            return _nothing(none)
        except (dns.exception.DNSException, UnicodeError, OSError) as error:
            return Silent(reason=f"{question.kind} of {question.name}: {error}")


def read_reply(reply: dns.message.QueryMessage) -> Found:
    """What a reply says to its question; its TTL, for nothing that of the zone's SOA.

    Raises `dns.exception.DNSException` if the chain of its names has a loop or no end.
    """
    chain = reply.resolve_chaining()
    if chain.answer is None:
        return Found(records=(), ttl=chain.minimum_ttl)
    records = tuple(_records(chain.answer))
    targets = {record.target for record in records if isinstance(record, Srv)}
    return Found(records=records, ttl=chain.minimum_ttl, additional=_additional(reply, targets))


def _nothing(none: dns.resolver.NXDOMAIN) -> Found:
    replies = none.responses().values()  # type: ignore[no-untyped-call]
    ttls = [reply.resolve_chaining().minimum_ttl for reply in replies]
    return Found(records=(), ttl=min(ttls, default=0.0))


def _additional(reply: dns.message.Message, targets: set[str]) -> dict[Question, Found]:
    """Addresses of the servers that were named, and of nobody else."""
    found: dict[Question, Found] = {}
    for rrset in reply.additional[:MAX_SECTION]:
        name = _text(rrset.name)
        kind = dns.rdatatype.to_text(rrset.rdtype)
        if name in targets and kind in (Kind.A, Kind.AAAA):
            question = Question(kind=Kind(kind), name=name)
            found[question] = Found(records=tuple(_records(rrset)), ttl=rrset.ttl)
    return found


class _Name(Protocol):
    def to_text(self, omit_final_dot: bool = False) -> str: ...


def _text(name: _Name) -> str:
    return name.to_text(omit_final_dot=True).lower().strip(".")


def _records(rrset: dns.rrset.RRset) -> Iterator[Record]:
    for each in list(rrset)[:MAX_SECTION]:
        match dns.rdatatype.to_text(each.rdtype):
            case "NAPTR":
                yield Naptr(
                    order=each.order,
                    preference=each.preference,
                    flags=each.flags.decode("latin-1"),
                    service=each.service.decode("latin-1"),
                    replacement=_text(each.replacement),
                )
            case "SRV":
                yield Srv(
                    priority=each.priority,
                    weight=each.weight,
                    port=each.port,
                    target=_text(each.target),
                )
            case "A" | "AAAA":
                yield each.address
