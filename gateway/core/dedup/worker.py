"""Copies one partition of a raw topic to its clean topic, each record once.

One batch is under way at a time. The raw topic is read in every cluster that answers, and the
clean one written in the cluster that is active. Before a cluster is used it is *attached*: the
owner writes its mark to the clean topic there and reads what stands before it (see `machine` and
`recovery`). A cluster that fails is detached and knocked at until it answers; a batch whose
outcome is not known is kept as it was decided and goes out again when that is known, or to
another cluster. Trouble with the index begins all of it anew, with what the disk then has.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final, TypeVar

import msgspec
import structlog

from gateway.bus.records import Incoming
from gateway.core.dedup import recovery, shelf
from gateway.core.dedup.feeds import Answering, Feeds, Gone
from gateway.core.dedup.identity import identify
from gateway.core.dedup.index import Index, IndexDamaged, IndexTrouble
from gateway.core.dedup.machine import Chunk, Decision, Machine, Outrun
from gateway.core.dedup.notes import Notes
from gateway.core.dedup.ports import ClusterAway, Inputs, Outputs
from gateway.core.dedup.recovery import TOLD, Finding, Which
from gateway.core.dedup.state import State
from gateway.core.dedup.steady import SteadyClock
from gateway.store.base import Fenced

_log = structlog.get_logger(__name__)
_T = TypeVar("_T")
_MAX_PAUSE: Final = 30.0  # seconds between looks at a disk that gives trouble
_SHOWN: Final = 5  # poison records of a batch that are logged each


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """`batch` records of one cluster at a time; the others in seconds.

    `patience`: for an acknowledgement, and at the start for clusters. `retry`: between tries at
    what is away. `touch`: how old the state in an idle index may get. `again`: after a failure
    that nobody foresaw, until the next worker.
    """

    batch: int = 1000
    patience: float = 5.0
    retry: float = 1.0
    touch: float = 3600.0
    again: float = 5.0


class DedupStats(msgspec.Struct, frozen=True, kw_only=True):
    """Since this owner began. `highest`: the newest fact copied; `inputs`: marks, by cluster;
    `trouble` is "" while all is well."""

    copied: int
    duplicates: int
    poison: int
    highest: int
    attached: list[str]
    inputs: dict[str, int]
    trouble: str


DEFAULTS: Final = Settings()


class _Stopped(Exception):
    """`stop` was called while something could not go on."""


class Worker:
    """The owner of a partition, while its lease holds. It runs once."""

    def __init__(
        self,
        *,
        topic: str,
        partition: int,
        epoch: int,
        clusters: Sequence[str],
        inputs: Inputs,
        outputs: Outputs,
        open_index: Callable[[], Index],
        window: float,
        notes: Notes,
        clock: SteadyClock,
        settings: Settings = DEFAULTS,
    ) -> None:
        """`epoch` is that of the lease of this partition, `window` as in the index, seconds."""
        self._name: dict[str, Any] = {"topic": topic, "partition": partition}
        self._machine = Machine(identify=identify(topic), partition=partition, epoch=epoch)
        self._epoch = epoch
        self._clusters = tuple(clusters)
        self._inputs = inputs
        self._outputs = outputs
        self._open_index = open_index
        self._window = window
        self._notes = notes
        self._clock = clock
        self._settings = settings
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="dedup")
        self._stopping = asyncio.Event()
        self._index: Index | None = None
        self._state: State | None = None
        self._feeds = Feeds(inputs, limit=settings.batch)
        self._attached: list[str] = []
        self._away: dict[str, str] = {}  # and why
        self._pending: dict[str, int] = {}  # the marks of a batch that is being written
        self._committed_at = 0.0
        self._copied = self._duplicates = self._poison = 0
        self._trouble = ""

    def stop(self) -> None:
        """Let `run` return after the batch that is under way."""
        self._stopping.set()

    def stats(self) -> DedupStats:
        """How it goes."""
        state = self._state or State()
        return DedupStats(
            copied=self._copied,
            duplicates=self._duplicates,
            poison=self._poison,
            highest=state.highest,
            attached=list(self._attached),
            inputs=dict(state.inputs),
            trouble=self._trouble or ("" if self._attached else "; ".join(self._away.values())),
        )

    def position(self, cluster: str) -> int:
        """The offset of the next record of the raw topic to be copied; 0 before it is known."""
        state = self._state or State()
        return state.inputs.get(cluster, 0) - state.base(cluster)

    async def rest(self, seconds: float) -> None:
        """Wait, but not beyond `stop`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def run(self) -> None:
        """Copy until `stop`.

        Raises `Outrun` or `Fenced` when somebody else owns the partition: there is nothing to
        do then but to end. After any other exception another worker can go on.
        """
        pause = self._settings.retry
        try:
            while not self._stopping.is_set():
                try:
                    await self._session()
                    pause = self._settings.retry
                except IndexTrouble as error:
                    self._trouble = str(error)
                    _log.error("dedup waits for its index", **self._name, reason=str(error))
                    await self.rest(pause)
                    pause = min(2 * pause, _MAX_PAUSE)
                except _Stopped:
                    pass
        except (Outrun, Fenced) as error:
            self._trouble = str(error)
            raise
        except Exception as error:
            self._trouble = f"it failed, and begins again: {error!r}"
            raise
        finally:
            self._thread.shutdown(wait=False)

    async def _session(self) -> None:
        """From the opening of the index to trouble with it, or to the end."""
        index = self._index = await self._in_thread(self._open_index)
        self._state = index.state
        self._feeds = Feeds(self._inputs, limit=self._settings.batch)
        self._pending = {}
        damaged = False
        try:
            await self._meet()
            self._trouble = ""
            while not self._stopping.is_set():
                await self._turn()
            await self._notes.end(self._highest())
        except IndexDamaged:
            damaged = True
            raise
        finally:
            self._attached.clear()
            await self._feeds.close()
            await self._in_thread(self._close, index)
            if damaged:
                await self._in_thread(shelf.set_aside, index.folder)

    # -- clusters come and go

    async def _meet(self) -> None:
        """Attach all clusters, but wait no longer for those that do not answer once one does."""
        for cluster in self._clusters:
            self._feeds.knock(cluster)
        patience = self._settings.patience
        deadline = asyncio.get_running_loop().time() + patience
        answered: list[str] = []
        while len(answered) < len(self._clusters):
            left = deadline - asyncio.get_running_loop().time()
            if self._stopping.is_set() or (answered and left <= 0):
                break
            for event in await self._feeds.wait(min(left, 1.0) if left > 0 else 1.0):
                if isinstance(event, Answering):
                    answered.append(event.cluster)
                elif isinstance(event, Gone):
                    self._detach(event.cluster, event.reason)
        for cluster in answered:
            await self._attach(cluster)

    async def _attach(self, cluster: str) -> frozenset[bytes]:
        """Make the cluster usable; the keys of what stood in its clean topic unknown to us."""
        try:
            return await self._caught_up(cluster)
        except ClusterAway as error:
            self._detach(cluster, str(error))
            return frozenset()

    async def _caught_up(self, cluster: str) -> frozenset[bytes]:
        outputs, now = self._outputs, self._clock.now()
        kept = await outputs.kept(cluster)
        marked = await self._patiently(
            cluster, outputs.append(cluster, [self._machine.mark(cluster, now)])
        )
        plan = recovery.catch_up(self._state, cluster, kept)
        self._tell(Which.CLEAN, plan.finding, cluster)
        known = self._state is not None
        state = self._state or State()
        if plan.finding is Finding.REMADE:
            state = recovery.forget_output(state, cluster)
        begin = plan.offset
        if begin is None:
            begin = min(await outputs.since(cluster, now - self._window), marked)
        state, found = await self._absorb(cluster, begin, marked, state)
        if not known and kept.first < begin and not set(self._clusters) <= state.inputs.keys():
            # Nothing within the window says where the input stands: what is older does.
            state, _ = await self._absorb(cluster, kept.first, begin, state)
        state = state.written_up_to(cluster, marked + 1, self._epoch)
        raw = await self._inputs.kept(cluster)
        await self._commit([], state)
        resumed = recovery.resume(state, cluster, raw, self._pending.get(cluster, 0))
        if resumed.finding is Finding.REMADE:  # to be known when the new one has grown past it
            await self._commit([], resumed.state)
        self._tell(Which.RAW, resumed.finding, cluster, resumed.lost)
        self._state = resumed.state
        self._attached.append(cluster)
        if self._away.pop(cluster, None) is not None:
            _log.info("dedup has a cluster back", **self._name, cluster=cluster)
        return found

    async def _absorb(
        self, cluster: str, begin: int, end: int, state: State
    ) -> tuple[State, frozenset[bytes]]:
        """Take over the clean topic from `begin` up to but without `end`."""
        found: set[bytes] = set()
        offset = begin
        try:
            while offset < end:
                if self._stopping.is_set():
                    raise _Stopped
                records = await self._outputs.read(cluster, offset, self._settings.batch)
                if records:
                    offset = records[-1].offset + 1
                    ours = [each for each in records if each.offset < end]
                    state = await self._in_thread(self._take_over, ours, state, cluster, found)
        finally:
            await self._outputs.rest(cluster)
        return state, frozenset(found)

    def _take_over(
        self, records: Sequence[Incoming], state: State, cluster: str, found: set[bytes]
    ) -> State:
        absorbed = self._machine.absorb(records, state, cluster)
        found.update(key for _, keys in absorbed.keys for key in keys)
        self._opened().commit(absorbed.keys, absorbed.state.made_at(self._clock.now()))
        return absorbed.state

    def _detach(self, cluster: str, reason: str) -> None:
        if cluster in self._attached:
            self._attached.remove(cluster)
        if cluster not in self._away:
            _log.warning(
                "dedup goes on without a cluster until it is back",
                **self._name,
                cluster=cluster,
                reason=reason,
            )
        self._away[cluster] = reason
        self._feeds.knock(cluster, self._settings.retry)

    # -- one batch after the other

    async def _turn(self) -> None:
        """What has come since the last turn."""
        assert self._state is not None or not self._attached
        for cluster in self._attached:
            if self._state is not None and not self._feeds.follows(cluster):
                self._feeds.follow(cluster, self.position(cluster))
        chunks: list[Chunk] = []
        for event in await self._feeds.wait(self._notes.every):
            match event:
                case Chunk():
                    chunks.append(event)
                case Answering(cluster=cluster):
                    await self._attach(cluster)
                case Gone(cluster=cluster, reason=reason):
                    self._detach(cluster, reason)
        if chunks:
            await self._copy(chunks)
        self._notes.tell(self._highest())
        await self._touch()

    async def _copy(self, chunks: Sequence[Chunk]) -> None:
        decided = await self._in_thread(self._decide, chunks)
        self._set_aside(decided)
        self._pending = decided.inputs
        decision, written = await self._publish(decided)
        state = self._known().read_up_to(decision.inputs, decision.highest)
        if written is not None:
            state = state.written_up_to(*written, self._epoch)
        await self._commit(decision.keys, state)
        self._state = state
        self._pending = {}
        self._copied += len(decided.keys)
        self._duplicates += decided.duplicates

    def _decide(self, chunks: Sequence[Chunk]) -> Decision:
        identities = self._machine.identities(chunks)
        keys = list({each[0] for those in identities for each in those if isinstance(each, tuple)})
        now = self._clock.now()
        flags = self._opened().seen(keys, now)
        known = {key for key, seen in zip(keys, flags, strict=True) if seen}
        return self._machine.decide(chunks, identities, known, self._known(), now)

    async def _publish(self, decision: Decision) -> tuple[Decision, tuple[str, int] | None]:
        """Write it and wait for the brokers; what of it was ours to write, and up to where it is.

        A batch that may have been written in part is looked for before it is written again to the
        same cluster.
        """
        while decision.publish:
            cluster = self._writable()
            if cluster is None:
                decision = decision.without(await self._any_attached())
                continue
            try:
                first = await self._patiently(
                    cluster, self._outputs.append(cluster, decision.publish)
                )
                await self._look_between(cluster, first)
            except ClusterAway as error:
                self._detach(cluster, str(error))
                continue
            return decision, (cluster, first + len(decision.publish))
        return decision, None

    async def _look_between(self, cluster: str, first: int) -> None:
        """Take over what others wrote since we wrote last, before keys of ours are written.

        If it is the mark of a newer owner, readers drop what we wrote behind it.
        """
        known = self._known().outputs[cluster]
        if known < first:
            self._state, _ = await self._absorb(cluster, known, first, self._known())

    def _writable(self) -> str | None:
        active = self._outputs.active()
        return active if active in self._attached else next(iter(self._attached), None)

    async def _any_attached(self) -> frozenset[bytes]:
        """Wait until a cluster is attached; what was found in it."""
        while not self._attached:
            if self._stopping.is_set():
                raise _Stopped
            for event in await self._feeds.wait(self._settings.retry):
                if isinstance(event, Gone):
                    self._detach(event.cluster, event.reason)
                elif isinstance(event, Answering):
                    found = await self._attach(event.cluster)
                    if self._attached:
                        return found
            self._notes.tell(self._highest())
        return frozenset()

    async def _commit(self, keys: Sequence[bytes], state: State) -> None:
        now = self._clock.now()
        await self._in_thread(self._opened().commit, [(now, keys)], state.made_at(now))
        self._committed_at = now

    async def _touch(self) -> None:
        """Keep the state of an idle index younger than what RocksDB lets go of."""
        if (
            self._state is not None
            and self._clock.now() - self._committed_at > self._settings.touch
        ):
            await self._commit([], self._state)

    # -- small things

    def _opened(self) -> Index:
        assert self._index is not None, "there is no session"
        return self._index

    def _known(self) -> State:
        assert self._state is not None, "no cluster was ever attached"
        return self._state

    def _close(self, index: Index) -> None:
        try:
            index.close()
        except IndexTrouble as error:
            _log.warning("an index of dedup was not closed well", **self._name, reason=str(error))

    def _highest(self) -> int:
        return 0 if self._state is None else self._state.highest

    async def _patiently(self, cluster: str, work: Any) -> Any:
        try:
            async with asyncio.timeout(self._settings.patience):
                return await work
        except TimeoutError:
            raise ClusterAway(f"the {cluster} cluster does not acknowledge") from None

    async def _in_thread(self, work: Callable[..., _T], *arguments: Any) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def _set_aside(self, decision: Decision) -> None:
        for each in decision.poison[:_SHOWN]:
            _log.error(
                "a record is set aside: no reader could use it",
                **self._name,
                cluster=each.cluster,
                offset=each.offset,
                reason=each.reason,
                what_to_do="look at who writes to the topic; the record stays there for now",
            )
        more = len(decision.poison) - _SHOWN
        if more > 0:
            _log.error("more records of the same batch are set aside", **self._name, records=more)
        self._poison += len(decision.poison)

    def _tell(self, which: Which, finding: Finding, cluster: str, lost: int = 0) -> None:
        if (which, finding) in TOLD:
            event, what_to_do = TOLD[which, finding]
            more = {"lost": lost} if lost else {}
            _log.error(event, **self._name, cluster=cluster, **more, what_to_do=what_to_do)
