"""Counters of the rooms as Prometheus reads them."""

import time
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from carriers.bind import BindStatus
from carriers.counters import Counters
from carriers.health import Health, HealthState
from carriers.model import BindKind
from gateway.calls.meters import CallMeters, VoiceStats
from gateway.calls.model import Call, CallDirection, CallLeg, CallStatus, Quality
from gateway.config import SECTIONS, Config
from gateway.core.records import JobState
from gateway.core.runner import RunnerStats
from gateway.messages.service import Gauges
from gateway.metrics import (
    OLDEST,
    HttpCounters,
    collectors,
    http_collector,
    limits_collector,
    status_label,
    voice_collector,
)
from gateway.store.base import Query, StoreStats
from gateway.store.sqlite import SqliteStore

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class OneCarrier:
    """A network of one carrier, with numbers in it."""

    def __init__(self) -> None:
        self.numbers = Counters()
        self.numbers.submitted = 9
        self.numbers.receipts = 5
        self.numbers.final_receipts = 3
        for seconds in (0.004, 7.0):
            self.numbers.submit_seconds.observe(seconds)
        self.numbers.statuses.update({0: 6, 0x58: 2, 0x401: 1, 0x12345678: 1, 0x12345679: 1})
        for seconds in (0.0004, 0.02, 0.02, 45.0):
            self.numbers.response_seconds.observe(seconds)

    def names(self) -> tuple[str, ...]:
        return ("acme",)

    def all_health(self, now: float) -> dict[str, Health]:
        health = Health(
            carrier="acme",
            state=HealthState.DEGRADED,
            binds_up=1,
            binds_wanted=2,
            transmitters_up=1,
            since=0.0,
            throttled_until=now + 1.0,
        )
        return {"acme": health}

    def counters(self, carrier: str) -> Counters:
        return self.numbers

    def binds(self, carrier: str) -> tuple[BindStatus, ...]:
        binds = (3, 4)
        return tuple(
            BindStatus(kind=BindKind.TRX, address="127.0.0.1:1", number=n, in_use=n) for n in binds
        )


def scraped(read: Iterable[Collector]) -> Samples:
    """Every sample of one scrape, as a Prometheus server parses the page."""
    registry = CollectorRegistry()
    for collector in read:
        registry.register(collector)
    return {
        (sample.name.removeprefix("trunkline_"), tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }


@pytest.fixture
def samples() -> Samples:
    return scraped(
        collectors(
            network=OneCarrier(),
            store=lambda: StoreStats(
                queued=7,
                groups=2,
                commits=5,
                rows=11,
                last_commit_seconds=0.25,
                last_commit_at=1.0,
                newest_fact=42,
                trouble="disk full",
            ),
            jobs=lambda: RunnerStats(
                busy=1,
                unstored=2,
                in_memory=8,
                fullest=6,
                behind=3,
                broken=9,
                unarchived=10,
                ended={JobState.SUCCEEDED: 4, JobState.EXPIRED: 5},
            ),
            messages=lambda: Gauges(
                accepts_in_flight=1,
                in_memory={"acme": 2, "beta": 3},
                spilling=("beta",),
                parked_receipts=4,
                flights=5,
            ),
            customers=lambda: {"clinic": 2},
            clock=lambda: 100.0,
        )
    )


CARRIER = ("carrier", "acme")


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("carrier_submitted_total", (CARRIER,), 9),
        ("carrier_receipts_total", (CARRIER,), 5),
        ("carrier_receipt_ratio", (CARRIER,), 0.5),
        ("carrier_results_total", (CARRIER, ("command_status", "ESME_ROK")), 6),
        ("carrier_results_total", (CARRIER, ("command_status", "ESME_RTHROTTLED")), 2),
        ("carrier_results_total", (CARRIER, ("command_status", "0x00000401")), 1),
        ("carrier_results_total", (CARRIER, ("command_status", "other")), 2),
        ("carrier_submit_seconds_bucket", (CARRIER, ("le", "0.005")), 1),
        ("carrier_submit_seconds_bucket", (CARRIER, ("le", "30.0")), 2),
        ("carrier_response_seconds_bucket", (CARRIER, ("le", "0.001")), 1),
        ("carrier_response_seconds_bucket", (CARRIER, ("le", "0.025")), 3),
        ("carrier_response_seconds_bucket", (CARRIER, ("le", "+Inf")), 4),
        ("carrier_response_seconds_count", (CARRIER,), 4),
        ("carrier_response_seconds_sum", (CARRIER,), 45.0404),
        ("carrier_receipt_seconds_count", (CARRIER,), 0),
        ("carrier_state", (CARRIER, ("state", "degraded")), 1),
        ("carrier_state", (CARRIER, ("state", "bound")), 0),
        ("carrier_binds_up", (CARRIER,), 1),
        ("carrier_binds_wanted", (CARRIER,), 2),
        ("carrier_throttled", (CARRIER,), 1),
        ("carrier_window_in_use", (CARRIER,), 7),
        ("store_queued", (), 7),
        ("store_commits_total", (), 5),
        ("store_away", (), 1),
        ("facts_total", (), 42),
        ("jobs_behind", (), 3),
        ("jobs_broken", (), 9),
        ("jobs_unarchived", (), 10),
        ("jobs_in_memory", (), 8),
        ("jobs_in_memory_fullest", (), 6),
        ("jobs_tries_total", (("state", "expired"),), 5),
        ("messages_in_memory", (("carrier", "beta"),), 3),
        ("messages_spilling", (("carrier", "beta"),), 1),
        ("messages_spilling", (CARRIER,), 0),
        ("messages_parked_receipts", (), 4),
        ("customer_binds", (("system_id", "clinic"),), 2),
    ],
)
def test_a_number_is_scraped(
    samples: Samples, name: str, labels: tuple[tuple[str, str], ...], value: float
) -> None:
    assert samples[name, labels] == pytest.approx(value)


def test_requests_are_counted() -> None:
    http = HttpCounters()
    for status, seconds in ((201, 0.25), (201, 0.25), (400, 0.5)):
        http.count("CreateMessage", status, seconds)
    samples = scraped([http_collector(http)])
    operation = ("operation", "CreateMessage")
    assert samples["http_requests_total", (operation, ("status", "201"))] == 2
    assert samples["http_request_seconds_total", (operation,)] == 1.0


def test_labels_of_results_are_bounded() -> None:
    labels = {status_label(status) for status in (*range(0x2000), 2**31, 2**32 - 1)}
    assert len(labels) < 400


def test_every_bound_of_the_config_is_shown_beside_its_gauge() -> None:
    limits = {
        labels[0][1]: value for (_, labels), value in scraped([limits_collector(Config())]).items()
    }
    bounds = {
        f"{section}.{name}"
        for section, (_, keys) in SECTIONS.items()
        for name in keys
        if name.startswith("max_")
    }
    no_bounds = {"messages.max_body", "sip.max_expires"}
    others = {"store.trace_rows", "webhooks.workers", "media.calls", "media.set_ups"}
    assert set(limits) == bounds - no_bounds | others
    assert limits["webhooks.max_in_memory_per_host"] == 2000


def test_calls_and_what_carries_them_are_counted() -> None:
    meters = CallMeters()
    call = Call(
        account_sid="AC1",
        sid="CA1",
        direction=CallDirection.INBOUND,
        status=CallStatus.BUSY,
        from_address="",
        to_address="",
        date_created=1.0,
        date_updated=1.0,
    )
    leg = CallLeg(
        account_sid="AC1", sid="CA1", direction=CallDirection.OUTBOUND_DIAL, began=1.0, ringing=1.75
    )
    meters.call_ended(call)
    meters.leg_closed(leg)
    heard = msgspec.structs.replace(leg, received=Quality(packets=9, mos=4.3), ringing=0.0)
    meters.leg_closed(msgspec.structs.replace(heard, direction=CallDirection.INBOUND))
    stats = VoiceStats(
        calls={"inbound": 2, "outbound-dial": 1},
        queued=9,
        ended=meters.ended,
        post_dial=meters.post_dial,
        mos=meters.mos,
        sessions=3,
        transactions=4,
        connections=5,
        registrations=6,
        workers=2,
        media={0: 7},
        refused={"flood": 8},
        sockets=10,
        strangers=4,
        clients={"registered": 11},
    )
    assert not any("rtpengine" in name for name, _ in scraped([voice_collector(lambda: stats)]))
    there = {"up": 1, "fronts": 12, "bridged": 10, "lost": 3}
    stats = msgspec.structs.replace(stats, rtpengine=there)
    samples = scraped([voice_collector(lambda: stats)])
    assert samples["calls", (("direction", "outbound-dial"),)] == 1
    assert samples["calls_queued", ()] == 9
    assert samples["calls_ended_total", (("direction", "inbound"), ("status", "busy"))] == 1
    assert samples["call_post_dial_seconds_count", ()] == 1
    assert samples["call_post_dial_seconds_bucket", (("le", "0.5"),)] == 0
    assert samples["call_post_dial_seconds_bucket", (("le", "1.0"),)] == 1
    assert samples["call_mos_bucket", (("le", "4.2"),)] == 0
    assert samples["call_mos_bucket", (("le", "4.4"),)] == samples["call_mos_count", ()] == 1
    assert samples["media_calls", (("worker", "0"),)] == 7
    assert samples["sip_refused_total", (("rule", "flood"),)] == 8
    assert samples["http_sockets", ()] == 10
    assert samples["http_unproven_sockets", ()] == 4
    assert samples["voice_clients", (("what", "registered"),)] == 11
    shown = ("up", "legs", "bridged_legs", "lost_calls_total")
    assert [samples[f"rtpengine_{name}", ()] for name in shown] == [1, 12, 10, 3]
    names = ("sip_sessions", "sip_transactions", "sip_connections", "sip_registrations")
    assert [samples[name, ()] for name in (*names, "media_workers")] == [3, 4, 5, 6, 2]


async def test_the_oldest_open_message_is_found_without_sorting(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "store.db", max_queued=10, clock=time.time)
    plan = await store.fetch(Query("plan", f"EXPLAIN QUERY PLAN {OLDEST.sql}"), "acme")
    await store.close()
    steps = [row[-1] for row in plan]
    assert len(steps) == 1
    assert "messages_open (carrier=?)" in steps[0]
