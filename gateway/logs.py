"""How the gateway logs: one line an event, tracebacks without the values of variables.

Variables hold tokens, passwords and what texts say; none of that belongs in a log, so a traceback
names files and lines only.
"""

import sys

import structlog


def set_up() -> None:
    """Make it so, for the whole process; lines go to standard output."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S"),
            structlog.dev.ConsoleRenderer(
                colors=sys.stdout.isatty(),
                exception_formatter=structlog.dev.plain_traceback,
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        logger_factory=structlog.PrintLoggerFactory(),
        cache_logger_on_first_use=True,
    )
