"""What Prometheus is told at `/metrics`: read from the rooms when it asks, never pushed.

Hot paths keep plain integers; the collectors here turn them into families at the scrape. Labels
are bounded: carriers and customers that the configuration names, operations that are declared,
states and codes that a table has.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from prometheus_client import Metric
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector

from carriers.bind import BindStatus
from carriers.counters import Counters, Histogram
from carriers.health import Health, HealthState
from carriers.trunk_events import TrunkStanding
from gateway.bus.base import BusStats
from gateway.calls.meters import VoiceStats
from gateway.config import Config
from gateway.core.runner import RunnerStats
from gateway.core.tracking.sinks import SinkStats
from gateway.messages.service import Gauges
from gateway.store.base import Query, Store, StoreStats
from protocols.sip.registration_events import State
from protocols.smpp.constants import CommandStatus

if TYPE_CHECKING:
    from gateway.core.dedup.worker import DedupStats

OLDEST: Final = Query(
    "messages_oldest_open",
    "SELECT date_created FROM messages WHERE carrier = $1"
    " AND status IN ('queued', 'sending') ORDER BY date_created LIMIT 1",
)
_TRACE: Final = Query(
    "trace_rows", "SELECT (SELECT max(id) FROM trace) - (SELECT min(id) FROM trace) + 1"
)

# SMPP leaves these to vendors (v3.4 §5.1.3); other unknown codes are counted as one.
_VENDOR: Final = range(0x400, 0x500)


class HttpCounters:
    """Requests answered, by (operation, status), and the seconds that operations took."""

    __slots__ = ("answered", "seconds")

    def __init__(self) -> None:
        """Start at zero."""
        self.answered: dict[tuple[str, int], int] = {}
        self.seconds: dict[str, float] = {}

    def count(self, operation: str, status: int, seconds: float) -> None:
        """One request was answered with the HTTP status `status` after `seconds`."""
        key = (operation, status)
        self.answered[key] = self.answered.get(key, 0) + 1
        self.seconds[operation] = self.seconds.get(operation, 0.0) + seconds


class CarrierNumbers(Protocol):
    """Of `carriers/network.py`, what is measured."""

    def names(self) -> Sequence[str]:
        """Every carrier that is served."""
        ...

    def all_health(self, now: float) -> dict[str, Health]:
        """How each stands."""
        ...

    def counters(self, carrier: str) -> Counters:
        """Its numbers."""
        ...

    def binds(self, carrier: str) -> Sequence[BindStatus]:
        """Its binds."""
        ...


class TrunkNumbers(Protocol):
    """Of `gateway/daemon/trunks.py`, what is measured."""

    def names(self) -> Sequence[str]:
        """Every trunk that calls go by here."""
        ...

    def health_of(self, name: str) -> Health | None:
        """How one is."""
        ...

    def standing(self, name: str) -> TrunkStanding | None:
        """Everything about one."""
        ...


class _Read(Collector):
    """A collector that is a function: called at each scrape."""

    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """`Collector.collect`."""
        return self._read()


def http_collector(http: HttpCounters) -> Collector:
    """Requests and seconds by operation."""

    def read() -> Iterator[Metric]:
        requests = _counter("http_requests", "Requests answered.", "operation", "status")
        for (operation, status), count in http.answered.items():
            requests.add_metric([operation, str(status)], count)
        seconds = _counter("http_request_seconds", "Time to answer, summed.", "operation")
        for operation, taken in http.seconds.items():
            seconds.add_metric([operation], taken)
        yield from (requests, seconds)

    return _Read(read)


def carrier_collector(network: CarrierNumbers, clock: Callable[[], float]) -> Collector:
    """Everything of every carrier."""
    return _Read(lambda: [*_traffic(network), *_health(network, clock())])


_PLAIN: Final[tuple[tuple[str, str, Callable[[Counters], int]], ...]] = (
    ("submitted", "submit_sm written.", lambda counters: counters.submitted),
    ("uncertain", "submit_sm without an answer in time.", lambda counters: counters.uncertain),
    ("late", "Answers after the response timeout.", lambda counters: counters.late),
    ("unsent", "Handed over and not written.", lambda counters: counters.unsent),
    ("receipts", "Delivery receipts, intermediate ones too.", lambda counters: counters.receipts),
    ("received", "Texts from handsets, or parts.", lambda counters: counters.received),
    ("rejected", "PDUs of no use from the carrier.", lambda counters: counters.rejected),
    ("bind_attempts", "Attempts to bind.", lambda counters: counters.bind_attempts),
    ("binds_lost", "Binds that were lost.", lambda counters: counters.binds_lost),
)


def _traffic(network: CarrierNumbers) -> Iterator[Metric]:
    every = [(name, network.counters(name)) for name in network.names()]
    for name, doc, value in _PLAIN:
        plain = _counter(f"carrier_{name}", doc, "carrier")
        for carrier, counters in every:
            plain.add_metric([carrier], value(counters))
        yield plain
    results = _counter("carrier_results", "Answers to submit_sm.", "carrier", "command_status")
    ratio = _gauge("carrier_receipt_ratio", "Final receipts per accepted submit_sm.", "carrier")
    submit = _histogram(
        "carrier_submit_seconds", "A text accepted to its first submit_sm.", "carrier"
    )
    response = _histogram("carrier_response_seconds", "submit_sm to submit_sm_resp.", "carrier")
    receipt = _histogram("carrier_receipt_seconds", "A text sent to a final receipt.", "carrier")
    for carrier, counters in every:
        by_label: dict[str, int] = {}
        for status, count in tuple(counters.statuses.items()):
            label = status_label(status)
            by_label[label] = by_label.get(label, 0) + count
        for label, count in by_label.items():
            results.add_metric([carrier, label], count)
        accepted = counters.statuses.get(CommandStatus.ESME_ROK, 0)
        if accepted:
            ratio.add_metric([carrier], counters.final_receipts / accepted)
        _add(submit, counters.submit_seconds, carrier)
        _add(response, counters.response_seconds, carrier)
        _add(receipt, counters.receipt_seconds, carrier)
    yield from (results, ratio, submit, response, receipt)


def status_label(command_status: int) -> str:
    """A bounded label for any 32 bits that a carrier answers with."""
    try:
        return CommandStatus(command_status).name
    except ValueError:
        return f"0x{command_status:08x}" if command_status in _VENDOR else "other"


def _health(network: CarrierNumbers, now: float) -> Iterator[Metric]:
    state = _gauge("carrier_state", "1 for the state that the carrier is in.", "carrier", "state")
    up = _gauge("carrier_binds_up", "Binds that are up.", "carrier")
    wanted = _gauge("carrier_binds_wanted", "Binds that should be up.", "carrier")
    throttled = _gauge("carrier_throttled", "1 while the carrier asked for less.", "carrier")
    window = _gauge("carrier_window_in_use", "submit_sm whose outcome is open.", "carrier")
    for carrier, health in network.all_health(now).items():
        for one in HealthState:
            state.add_metric([carrier, one], float(health.state is one))
        up.add_metric([carrier], health.binds_up)
        wanted.add_metric([carrier], health.binds_wanted)
        throttled.add_metric([carrier], float(health.throttled_until > now))
        window.add_metric([carrier], sum(bind.in_use for bind in network.binds(carrier)))
    yield from (state, up, wanted, throttled, window)


async def oldest_collector(store: Store, carriers: Iterable[str], now: float) -> Collector:
    """The age of each carrier's oldest open message, as the store has it at this moment."""
    ages = _gauge("carrier_oldest_seconds", "Age of the oldest open message.", "carrier")
    for carrier in carriers:
        rows = await store.fetch(OLDEST, carrier)
        ages.add_metric([carrier], max(now - rows[0][0], 0.0) if rows else 0.0)
    return _Read(lambda: [ages])


async def trace_collector(store: Store) -> Collector:
    """The rows of PDUs that are kept; the janitor takes the oldest, so their ids are a range."""
    rows = int((await store.fetch(_TRACE))[0][0] or 0)
    return _Read(lambda: [_one_gauge("trace_rows", "Rows of PDUs kept.", rows)])


def facts_collector(stats: BusStats) -> Collector:
    """The backlog of facts, whole and by durable reader."""
    behind = _gauge("facts_behind", "Facts kept that the reader has not read.", "reader")
    for reader, count in stats.behind.items():
        behind.add_metric([reader], count)
    return _Read(lambda: [_one_gauge("facts_kept", "Facts kept.", stats.kept), behind])


def streams_collector(streams: int) -> Collector:
    """Clients that follow `/v1/events`."""
    return _Read(lambda: [_one_gauge("http_event_streams", "Event streams open.", streams)])


_LIMITS: Final[tuple[tuple[str, Callable[[Config], float]], ...]] = (
    ("http.max_event_streams", lambda config: config.http.max_event_streams),
    ("http.max_sockets", lambda config: config.http.max_sockets),
    ("http.max_sockets_per_address", lambda config: config.http.max_sockets_per_address),
    ("http.max_unproven_sockets", lambda config: config.http.max_unproven_sockets),
    (
        "http.max_unproven_sockets_per_address",
        lambda config: config.http.max_unproven_sockets_per_address,
    ),
    ("store.max_queued", lambda config: config.store.max_queued),
    ("store.trace_rows", lambda config: config.store.trace_rows),
    ("bus.max_backlog", lambda config: config.bus.max_backlog),
    ("messages.max_accepts_in_flight", lambda config: config.messages.max_accepts_in_flight),
    ("messages.max_in_memory", lambda config: config.messages.max_in_memory),
    ("messages.max_parked_receipts", lambda config: config.messages.max_parked_receipts),
    ("sip.max_calls", lambda config: config.sip.max_calls),
    ("sip.max_lag", lambda config: config.sip.max_lag),
    ("sip.max_queued", lambda config: config.sip.max_queued),
    ("media.calls", lambda config: config.media.calls),
    ("media.set_ups", lambda config: config.media.set_ups),
    ("speech.max_waiting", lambda config: config.speech.max_waiting),
    ("speech.max_cache", lambda config: config.speech.max_cache),
    ("webhooks.max_connections_per_host", lambda config: config.webhooks.max_connections_per_host),
    ("webhooks.workers", lambda config: config.webhooks.workers),
    ("webhooks.max_in_memory", lambda config: config.webhooks.max_in_memory),
    ("webhooks.max_in_memory_per_host", lambda config: config.webhooks.max_in_memory_per_host),
)


def limits_collector(config: Config) -> Collector:
    """Every bound by its key in the config, to hold its gauge against."""
    limits = _gauge("limit", "A bound, by its key in the config.", "key")
    for key, value in _LIMITS:
        limits.add_metric([key], value(config))
    return _Read(lambda: [limits])


def store_collector(stats: Callable[[], StoreStats]) -> Collector:
    """The queue of the store's writer, and how it does."""

    def read() -> Iterator[Metric]:
        now = stats()
        yield _one_gauge("store_queued", "Commits that wait.", now.queued)
        yield _one_counter("store_groups", "Groups of commits made durable.", now.groups)
        yield _one_counter("store_commits", "Commits made durable.", now.commits)
        yield _one_counter("store_rows", "Rows written.", now.rows)
        yield _one_gauge("store_last_commit_seconds", "The last group.", now.last_commit_seconds)
        yield _one_gauge("store_away", "1 while it can't write.", float(bool(now.trouble)))
        yield _one_counter("facts", "Facts appended, ever.", now.newest_fact)
        yield _one_gauge("facts_held_seconds", "Facts wait for old transactions.", now.facts_held)

    return _Read(read)


def jobs_collector(stats: Callable[[], RunnerStats]) -> Collector:
    """The workers and the ends of tries."""

    def read() -> Iterator[Metric]:
        now = stats()
        yield _one_gauge("jobs_busy", "Workers at work.", now.busy)
        yield _one_gauge("jobs_unstored", "Ends of tries not stored yet.", now.unstored)
        yield _one_gauge("jobs_in_memory", "Jobs that wait or are tried.", now.in_memory)
        yield _one_gauge("jobs_in_memory_fullest", "Of these, of one endpoint.", now.fullest)
        yield _one_gauge("jobs_behind", "Endpoints with jobs in the store alone.", now.behind)
        yield _one_gauge("jobs_broken", "Endpoints that do not answer.", now.broken)
        yield _one_gauge("jobs_unarchived", "Jobs that wait for the archive.", now.unarchived)
        ended = _counter("jobs_tries", "Tries, by how they ended.", "state")
        for state, count in now.ended.items():
            ended.add_metric([state], count)
        yield ended

    return _Read(read)


def messages_collector(gauges: Callable[[], Gauges]) -> Collector:
    """How full the bounds of the message path are."""

    def read() -> Iterator[Metric]:
        now = gauges()
        yield _one_gauge("messages_accepting", "Accepts in flight.", now.accepts_in_flight)
        yield _one_gauge("messages_in_flight", "Messages not settled.", now.flights)
        yield _one_gauge("messages_parked_receipts", "Receipts that wait.", now.parked_receipts)
        held = _gauge("messages_in_memory", "Messages queued in memory.", "carrier")
        spilling = _gauge("messages_spilling", "1 if more are in the store.", "carrier")
        for carrier, count in now.in_memory.items():
            held.add_metric([carrier], count)
            spilling.add_metric([carrier], float(carrier in now.spilling))
        yield from (held, spilling)

    return _Read(read)


def sinks_collector(stats: Callable[[], Mapping[str, SinkStats]]) -> Collector:
    """The sinks that are supplied here; how far each is behind, `facts_behind` says."""

    def read() -> Iterator[Metric]:
        taken = _counter("sink_facts", "Facts that the sink took.", "sink")
        aside = _counter("sink_set_aside", "Facts that the sink would never take.", "sink")
        away = _gauge("sink_away", "1 while the sink takes nothing.", "sink")
        for name, now in stats().items():
            taken.add_metric([name], now.taken)
            aside.add_metric([name], now.set_aside)
            away.add_metric([name], float(bool(now.trouble)))
        yield from (taken, aside, away)

    return _Read(read)


def customers_collector(counts: Callable[[], dict[str, int]]) -> Collector:
    """Binds of customers to our SMPP server."""

    def read() -> Iterator[Metric]:
        binds = _gauge("customer_binds", "Binds that are up.", "system_id")
        for system_id, count in counts().items():
            binds.add_metric([system_id], count)
        yield binds

    return _Read(read)


def voice_collector(stats: Callable[[], VoiceStats]) -> Collector:
    """Calls, what carries them, and who is turned away."""

    def read() -> Iterator[Metric]:
        now = stats()
        up = _gauge("calls", "Calls that are up or being made.", "direction")
        for direction, count in now.calls.items():
            up.add_metric([direction], count)
        queued = _one_gauge("calls_queued", "Calls over REST that wait to begin.", now.queued)
        ended = _counter("calls_ended", "Calls that ended.", "direction", "status")
        for (direction, status), count in now.ended.items():
            ended.add_metric([direction, status], count)
        post_dial = _histogram(
            "call_post_dial_seconds", "INVITE of ours to the first sign of ringing."
        )
        _add(post_dial, now.post_dial)
        mos = _histogram("call_mos", "Quality of what peers sent, 1 to 5.")
        _add(mos, now.mos)
        media = _gauge("media_calls", "Calls that a media worker has.", "worker")
        for worker, count in now.media.items():
            media.add_metric([str(worker)], count)
        refused = _counter("sip_refused", "Requests turned away.", "rule")
        for rule, count in now.refused.items():
            refused.add_metric([rule], count)
        yield from (up, queued, ended, post_dial, mos, media, refused)
        yield _one_gauge("media_workers", "Media workers that should run.", now.workers)
        if before := now.rtpengine:
            yield _one_gauge("rtpengine_up", "Whether rtpengine answers.", before["up"])
            yield _one_gauge("rtpengine_legs", "Legs that stand in it.", before["fronts"])
            yield _one_gauge("rtpengine_bridged_legs", "Those it passes on.", before["bridged"])
            lost = _counter("rtpengine_lost_calls", "Calls that ended by its loss.")
            lost.add_metric([], before["lost"])
            yield lost
        yield _one_gauge("speech_waiting", "Prompts that are made or fetched.", now.prompts_waiting)
        yield _one_gauge("speech_cache", "Octets of prompts that are kept.", now.prompts_kept)
        yield _one_gauge("sip_lag_seconds", "How late signalling's timers are.", now.lag)
        yield _one_gauge(
            "sip_overload_ratio", "Of new calls by SIP, how many are too many.", now.overload
        )
        yield _one_gauge("sip_sessions", "Sessions of SIP.", now.sessions)
        yield _one_gauge("sip_transactions", "Transactions of SIP.", now.transactions)
        yield _one_gauge("sip_connections", "Connections of SIP.", now.connections)
        yield _one_gauge("sip_registrations", "Phones' registrations.", now.registrations)
        yield _one_gauge("http_sockets", "WebSockets of browsers.", now.sockets)
        yield _one_gauge(
            "http_unproven_sockets",
            "Those of them that have yet to show who they are.",
            now.strangers,
        )
        clients = _gauge("voice_clients", "Clients of the Voice SDK, and what they have.", "what")
        for what, count in now.clients.items():
            clients.add_metric([what], count)
        yield clients

    return _Read(read)


def trunk_collector(trunks: TrunkNumbers) -> Collector:
    """Every trunk, as this process sees it."""

    def read() -> Iterator[Metric]:
        state = _gauge("trunk_state", "1 for the state that it is in.", "carrier", "state")
        up = _gauge("trunk_gateways_up", "Gateways that take calls.", "carrier")
        wanted = _gauge("trunk_gateways", "Gateways.", "carrier")
        registered = _gauge("trunk_registered", "1 while we are registered.", "carrier")
        calls = _gauge("trunk_calls", "Calls that count against its limits.", "carrier")
        channels = _gauge("trunk_channels", "How many of them may be; 0: any.", "carrier")
        for name in trunks.names():
            health, standing = trunks.health_of(name), trunks.standing(name)
            if health is None or standing is None:
                continue
            for one in HealthState:
                state.add_metric([name, one], float(health.state is one))
            up.add_metric([name], health.transmitters_up)
            wanted.add_metric([name], health.binds_wanted)
            if standing.registration is not None:
                stands = standing.registration.state is State.REGISTERED
                registered.add_metric([name], float(stands))
            calls.add_metric([name], standing.calls)
            channels.add_metric([name], standing.channels)
        yield from (state, up, wanted, registered, calls, channels)

    return _Read(read)


def dedup_collector(stats: "Callable[[], dict[str, DedupStats]]") -> Collector:
    """The partitions of Kafka's topics whose records this process copies once."""

    def read() -> Iterator[Metric]:
        now = stats()
        copied = _counter("dedup_copied", "Records copied to the clean topic.", "partition")
        again = _counter("dedup_duplicates", "Records that came again.", "partition")
        poison = _counter("dedup_poison", "Records that are none; see the log.", "partition")
        stuck = _gauge("dedup_troubled", "1 while it can't go on; see the log.", "partition")
        for name, each in now.items():
            copied.add_metric([name], each.copied)
            again.add_metric([name], each.duplicates)
            poison.add_metric([name], each.poison)
            stuck.add_metric([name], float(bool(each.trouble)))
        yield from (copied, again, poison, stuck)

    return _Read(read)


def collectors(
    *,
    network: CarrierNumbers,
    store: Callable[[], StoreStats],
    jobs: Callable[[], RunnerStats],
    messages: Callable[[], Gauges],
    customers: Callable[[], dict[str, int]],
    clock: Callable[[], float],
) -> tuple[Collector, ...]:
    """Everything that the rooms of one process count, to be read at each scrape."""
    return (
        carrier_collector(network, clock),
        store_collector(store),
        jobs_collector(jobs),
        messages_collector(messages),
        customers_collector(customers),
    )


def _counter(name: str, doc: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"trunkline_{name}", doc, labels=labels)


def _gauge(name: str, doc: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"trunkline_{name}", doc, labels=labels)


def _one_counter(name: str, doc: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(f"trunkline_{name}", doc, value=value)


def _one_gauge(name: str, doc: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"trunkline_{name}", doc, value=value)


def _histogram(name: str, doc: str, *labels: str) -> HistogramMetricFamily:
    return HistogramMetricFamily(f"trunkline_{name}", doc, labels=labels)


def _add(family: HistogramMetricFamily, histogram: Histogram, *labels: str) -> None:
    total = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip((*histogram.bounds, None), histogram.counts, strict=True):
        total += count
        buckets.append(("+Inf" if bound is None else str(float(bound)), total))
    family.add_metric(labels, buckets, sum_value=histogram.total)
