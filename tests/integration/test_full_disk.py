"""A disk that is full while the gateway runs: reads go on, what would be promised is refused."""

import resource
import urllib.error
import urllib.request

import msgspec
import pytest
from twilio.base.exceptions import TwilioRestException

from tests.integration.gateway_process import NUMBER, get, wait_for_status
from tests.running import RunningGateway, children_of

TO = "+447700900123"


def limit_files(gateway: RunningGateway, octets: int) -> None:
    """No file of the gateway may grow beyond `octets` any more."""
    assert gateway.process is not None
    limits = (octets, resource.RLIM_INFINITY)
    for pid in (gateway.process.pid, *children_of(gateway.process.pid)):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


def readiness(gateway: RunningGateway) -> tuple[int, str]:
    """The HTTP status of `/readyz`, and the reason that it gives."""
    try:
        with urllib.request.urlopen(f"{gateway.url}/readyz", timeout=30) as answer:
            return answer.status, msgspec.json.decode(answer.read())["reason"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, msgspec.json.decode(error.read())["reason"]


@pytest.mark.waiting
def test_it_is_unready_while_the_disk_is_full_and_ready_without_new_traffic(
    running_gateway: RunningGateway,
) -> None:
    messages = running_gateway.client().messages
    first = messages.create(to=TO, from_=NUMBER, body="before")
    wait_for_status(running_gateway, first.sid, ["delivered"])
    assert readiness(running_gateway) == (200, "")

    log = running_gateway.data / "trunkline.db-wal"
    limit_files(running_gateway, log.stat().st_size)
    with pytest.raises(TwilioRestException) as refused:
        messages.create(to=TO, from_=NUMBER, body="refused")
    assert (refused.value.status, refused.value.code) == (503, 20503)
    status, reason = readiness(running_gateway)
    assert status == 503
    assert "disk" in reason
    path = f"/2010-04-01/Accounts/{running_gateway.account_sid}/Messages/{first.sid}.json"
    assert get(running_gateway, path)["status"] == "delivered"

    limit_files(running_gateway, resource.RLIM_INFINITY)
    assert readiness(running_gateway) == (200, "")
    after = messages.create(to=TO, from_=NUMBER, body="after")
    wait_for_status(running_gateway, after.sid, ["delivered"])
