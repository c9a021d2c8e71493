"""The recordings of this process: where they are kept, and at which URL apps find them."""

from collections.abc import Mapping

from gateway.config import Config
from gateway.daemon.ground import Ground
from gateway.forms import Address
from gateway.recordings.book import Book
from gateway.recordings.files import Files
from gateway.webhooks.callbacks import Patience


def recordings(ground: Ground, ports: Mapping[str, int], owner: str, patience: Patience) -> Book:
    """The book of recordings; `ports` are those that are listened at, once they are known."""
    return Book(
        store=ground.store,
        files=Files(ground.data),
        base=lambda: base_url(ground.config, ports),
        patience=patience,
        clock=ground.clock,
        owner=owner,
    )


def base_url(config: Config, ports: Mapping[str, int]) -> str:
    """Where REST is reached: as the config says, else where this process listens."""
    http = config.http
    if http.public_url:
        return http.public_url.rstrip("/")
    for scheme, listen in (("http", http.listen), ("https", http.tls_listen)):
        if listen is not None and scheme in ports:
            return f"{scheme}://{Address(listen.host, ports[scheme])}"
    return ""
