"""Which part of the chain the benchmark gives a stack to; its parts sum to the CPU used."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest

BENCH = Path(__file__).parents[3] / "bench"
AROUND = "gateway/cli/__init__.py:main;gateway/process.py:run;asyncio/runners.py:run"
STACKS = {
    "aiohttp/web_protocol.py:start;gateway/api/messages.py:create": "accept",
    "gateway/api/messages.py:create;gateway/store/postgres.py:commit": "store",
    "gateway/store/postgres_queue.py:_work;asyncpg/connection.py:execute": "store",
    "asyncpg/connection.py:_cleanup": "store",
    "gateway/messages/dispatch.py:_submit": "dispatch and response",
    "gateway/messages/follow.py:_follow;gateway/messages/follow.py:_receipted": "receipt",
    "gateway/core/runner.py:_work;gateway/webhooks/fetch.py:notify": "callback",
    "gateway/bus/forwarder.py:run;gateway/store/postgres_facts.py:after": "forwarder",
    "gateway/core/dedup/worker.py:run;aiokafka/producer/producer.py:send_batch": "dedup",
    "gateway/core/tracking/tracker.py:_run;gateway/bus/kafka.py:subscribe": "tracking",
    "gateway/bus/subscription.py:_read;aiokafka/consumer/consumer.py:getmany": "tracking",
    "aiokafka/producer/sender.py:_sender_routine": "Kafka's client",
    "uvloop/loop.pyx:run": "loop",
}


@pytest.fixture
def chain_stages(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCH))  # type: ignore[no-untyped-call]
    return importlib.import_module("chain_stages")


@pytest.mark.parametrize("stack", STACKS)
def test_a_stack_belongs_to_one_part(chain_stages: ModuleType, stack: str) -> None:
    assert chain_stages.stage_of(f"{AROUND};{stack}".split(";")) == STACKS[stack]


def test_all_cpu_is_in_one_part_or_another(chain_stages: ModuleType) -> None:
    stacks = {f"{AROUND};{stack}": 1.0 for stack in STACKS}
    threads = {"MainThread": len(STACKS) + 0.25, "dedup_0": 2.0, "unnamed": 1.0, "asyncio_0": 0.5}
    found = chain_stages.totals(stacks, threads)
    assert sum(found.values()) == sum(threads.values())
    assert found["dedup"] == 1.0 + 2.0 + 1.0
    assert found["other"] == 0.25 + 0.5


def test_what_no_rule_tells_apart_is_shared(chain_stages: ModuleType) -> None:
    read = f"{AROUND};protocols/smpp/endpoint.py:data_received"
    found = chain_stages.totals({read: 3.0}, {"MainThread": 3.0})
    assert found["dispatch and response"] == found["receipt"] == 1.5
