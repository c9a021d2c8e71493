"""What is done by jobs: the runner of this process, and who handles which kind."""

from collections.abc import Mapping
from typing import Final

from gateway.calls import call_messages, room_book
from gateway.calls import callbacks as call_callbacks
from gateway.core.jobs import QueuePolicy, RetryPolicy, Scheduler, policies
from gateway.core.owned import EVERYTHING, NOTHING
from gateway.core.runner import Bounds, Handler, Job, JobRunner
from gateway.daemon.ground import Ground, chance
from gateway.messages import callbacks, inbound
from gateway.messages.customers import jobs as customer_jobs
from gateway.messages.customers.delivery import Deliveries
from gateway.owners import Owners
from gateway.recordings import callbacks as recording_callbacks
from gateway.webhooks.callbacks import Patience, StatusCallbacks

_CALLBACK_RETRY: Final = RetryPolicy(base=1.0, cap=600.0)
_TRIES_PER_CUSTOMER: Final = 20  # deliver_sm under way to one customer: the window of a bind


def make_runner(ground: Ground, owners: Owners, handlers: Mapping[str, Handler]) -> JobRunner:
    """The runner; `handlers` may be filled later, before it starts."""
    webhooks = ground.config.webhooks
    scheduler: Scheduler[Job] = Scheduler(
        policies(
            QueuePolicy(concurrency=webhooks.concurrency_per_host),
            {customer_jobs.SCHEME: QueuePolicy(concurrency=_TRIES_PER_CUSTOMER)},
        ),
        _CALLBACK_RETRY,
        slots=webhooks.workers,
    )
    return JobRunner(
        ground.store,
        scheduler,
        handlers,
        workers=webhooks.workers,
        clock=ground.clock,
        fraction=chance,
        bounds=Bounds(per_endpoint=webhooks.max_in_memory_per_host, total=webhooks.max_in_memory),
        fence=owners.lease(),
        own=NOTHING if ground.shared else EVERYTHING,
        archive=ground.archive,
        alive=lambda: owners.alive,
    )


def handlers(
    ground: Ground, patience: Patience, texts: inbound.InboundTexts, deliveries: Deliveries
) -> dict[str, Handler]:
    """Who handles a job, by its kind."""
    told = StatusCallbacks(ground.fetcher, ground.tokens, patience)
    return {
        callbacks.KIND: told,
        call_callbacks.KIND: told,
        recording_callbacks.KIND: told,
        room_book.KIND: told,
        call_messages.KIND: told,
        inbound.KIND: texts,
        customer_jobs.KIND: deliveries,
    }
