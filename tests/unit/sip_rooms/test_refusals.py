"""What a refusal says on the wire, and how a flood of them is one line in the log."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.sip.refusals import STATUSES, RefusalLog, Refused, Rule, deny
from protocols.sip.headers import read_reason, read_retry_after, read_warning

NOW = 100.0


@pytest.mark.parametrize("rule", Rule)
def test_a_refusal_names_its_rule(rule: Rule) -> None:
    refusal = deny(rule)
    [reason], [warning] = read_reason(refusal.headers), read_warning(refusal.headers)
    assert (reason.protocol, reason.cause, reason.text) == ("SIP", STATUSES[rule], rule.value)
    assert (warning.code, warning.agent, warning.text) == (399, "trunkline", rule.value)
    assert (refusal.reply.status, refusal.rule) == (STATUSES[rule], rule)
    # Only a node that is at fault itself says when to come back.
    assert (read_retry_after(refusal.headers) is not None) is (rule is Rule.STORE)


def refused(source: str = "192.0.2.1", **changes: Any) -> Refused:
    given: dict[str, Any] = {
        "method": "REGISTER",
        "domain": "a.example",
        "user": "alice",
        "rule": Rule.ADDRESS,
        **changes,
    }
    return Refused(source=source, **given)


def lines(logs: list[Any]) -> list[tuple[str, int]]:
    return [(each["source"], each["count"]) for each in logs]


def test_a_source_is_told_of_once_and_then_counted() -> None:
    log = RefusalLog(apart=10.0)
    with capture_logs() as logs:
        for second in range(25):
            log.tell(refused(), NOW + second)
            log.tell(refused("192.0.2.2"), NOW + second) if second == 3 else None
        log.flush(NOW + 29)
        assert lines(logs) == [
            ("192.0.2.1", 1),
            ("192.0.2.2", 1),
            ("192.0.2.1", 9),
            ("192.0.2.1", 10),
        ]
        assert log.timer() == NOW + 30
        log.flush(NOW + 30)
        assert lines(logs)[-1] == ("192.0.2.1", 5)
        log.flush(NOW + 40)
        assert (len(log), log.timer(), len(logs)) == (0, None, 5)
        log.tell(refused(), NOW + 41)
        assert lines(logs)[-1] == ("192.0.2.1", 1)


def test_each_rule_is_told_of_by_itself_and_those_of_other_wings_as_one() -> None:
    log = RefusalLog(apart=10.0)
    with capture_logs() as logs:
        for rule in (Rule.NO_NUMBER, Rule.UNKNOWN_DOMAIN, "it can't be read: a", "it can't be: b"):
            log.tell(refused(rule=rule), NOW)
        assert [(each["rule"], each["count"]) for each in logs] == [
            (Rule.NO_NUMBER, 1),
            (Rule.UNKNOWN_DOMAIN, 1),
            ("it can't be read: a", 1),
        ]
        log.flush(NOW + 10)
    assert [(each["rule"], each["count"]) for each in logs[3:]] == [("it can't be: b", 1)]


def test_a_flood_from_everywhere_is_few_lines() -> None:
    log = RefusalLog(apart=10.0, sources=3)
    with capture_logs() as logs:
        for number in range(1000):
            log.tell(refused(f"198.51.{number // 256}.{number % 256}"), NOW)
        assert (len(logs), len(log)) == (4, 4)
        log.flush(NOW + 10)
    assert [count for _, count in lines(logs)] == [1, 1, 1, 1, 996]


def test_what_a_peer_wrote_is_short_and_can_be_written() -> None:
    log = RefusalLog()
    with capture_logs() as logs:
        log.tell(refused(user="\udcff" + "a" * 500, domain="d" * 500), NOW)
    [line] = logs
    assert line["user"] == "\\udcff" + "a" * 63
    assert len(line["domain"]) == 64
