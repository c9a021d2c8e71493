"""The composition root: the one place that knows which backends there are, and makes the daemon."""

from gateway.daemon.gateway import Gateway
from gateway.daemon.ground import DATABASE, migrate

__all__ = ["DATABASE", "Gateway", "migrate"]
