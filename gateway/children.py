"""Processes that the gateway starts for what strangers send: what they are given of its own."""

import os


def environment() -> dict[str, str]:
    """Ours without secrets: what reads strangers' files has no use for any."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("TRUNKLINE_")}
    # Threads would take more addresses than the process may have, and there is nothing for them.
    return {**ours, "OPENBLAS_NUM_THREADS": "1"}
