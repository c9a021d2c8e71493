"""What the config file says reaches the room that it is about."""

import urllib.request
from collections.abc import Callable

from prometheus_client.parser import text_string_to_metric_families

from tests.integration.gateway_process import NUMBER, Carrier, get, wait_for_status
from tests.running import RunningGateway

TO = "+447700900123"
_MORE = """
[[routes]]
carriers = ["acme"]
price = "0.00791"

[webhooks]
max_in_memory = 700
max_in_memory_per_host = 70

[http]
max_event_streams = 1
"""


def scraped(gateway: RunningGateway) -> dict[tuple[str, ...], float]:
    """The samples at `/metrics`, by name and values of labels."""
    with urllib.request.urlopen(f"{gateway.url}/metrics", timeout=30) as page:
        families = text_string_to_metric_families(page.read().decode())
        return {
            (sample.name, *sorted(sample.labels.values())): sample.value
            for family in families
            for sample in family.samples
        }


def test_prices_and_bounds_of_the_file_have_their_effect(
    start_gateway: Callable[[str], RunningGateway], start_carrier: Callable[[], Carrier]
) -> None:
    gateway = start_gateway(start_carrier().config() + _MORE)
    sent = gateway.client().messages.create(to=TO, from_=NUMBER, body="x" * 161)
    assert (sent.price, sent.price_unit) == (None, None)
    wait_for_status(gateway, sent.sid, ["delivered"])
    path = f"/2010-04-01/Accounts/{gateway.account_sid}/Messages/{sent.sid}.json"
    fetched = get(gateway, path)
    assert (fetched["price"], fetched["price_unit"]) == ("-0.01582", "USD")

    samples = scraped(gateway)
    assert samples["trunkline_limit", "webhooks.max_in_memory"] == 700
    assert samples["trunkline_limit", "webhooks.max_in_memory_per_host"] == 70
    assert samples["trunkline_limit", "http.max_event_streams"] == 1
    assert samples["trunkline_carrier_submit_seconds_count", "acme"] == 1
    assert samples["trunkline_carrier_receipt_ratio", "acme"] == 1
