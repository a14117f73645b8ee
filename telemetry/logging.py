"""Logs: one JSON object a line on standard error, with the correlation and trace ids, and without secrets.

`logging_settings()` is what Django's `LOGGING` becomes; it sends the standard library's loggers through the same
processors, so that a line of Django, Celery or a driver obeys the same rules as one of ours. Events come from
`telemetry.names`; facts are keys, never part of the message. Plan events carry their name under `metric` too.
"""

import functools
import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

import structlog
from structlog.typing import FilteringBoundLogger, Processor

from telemetry import tracing
from telemetry.correlation import correlation_id
from telemetry.redaction import Redactor, secrets_of

TEXT_LENGTH_MAX: Final = 4096  # a line of a megabyte is an attack on whoever reads it
EventDict = MutableMapping[str, Any]


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger whose calls read `log.info(names.PAYMENT_SETTLED, payment_id=…)`."""
    logger: FilteringBoundLogger = structlog.get_logger(name)
    return logger


def log_metric(logger: FilteringBoundLogger, event: str, *, level: str = "info", **facts: object) -> None:
    """Log a plan event, whose name stands under `event` and, for the log metric filters, under `metric`."""
    logger.log(logging.getLevelNamesMapping()[level.upper()], event, metric=event, **facts)


def logging_settings(level: str = "INFO") -> dict[str, Any]:
    """The value of Django's `LOGGING`, and structlog configured as a side effect."""
    configure_structlog()
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": json_formatter}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json", "stream": sys.stderr}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django": {"handlers": [], "level": level, "propagate": True},
            # A 402 is this service's daily bread: Django's own warning for each would cost more than answering it.
            "django.request": {"level": "ERROR"},
            "django.server": {"handlers": [], "level": level, "propagate": True},
            "urllib3.connectionpool": {"level": "ERROR"},
        },
    }


def configure_structlog() -> None:
    """Let structlog hand its events to the standard library, where the one handler formats them."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def json_formatter() -> structlog.stdlib.ProcessorFormatter:
    """The formatter of the one handler: ours and foreign records alike become one redacted JSON object."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*_shared(), structlog.stdlib.ExtraAdder()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            redact,
            structlog.processors.JSONRenderer(ensure_ascii=True, sort_keys=False, default=str),
        ],
    )


def redact(_logger: object, _method: str, event: EventDict) -> EventDict:
    """A processor: the event without secrets, its texts bounded in length."""
    return {name: _bounded(value) for name, value in _redactor().facts(event).items()}


def _bounded(value: object) -> object:
    return value[:TEXT_LENGTH_MAX] + "…" if isinstance(value, str) and len(value) > TEXT_LENGTH_MAX else value


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
        _add_correlation,
    ]


def _add_correlation(_logger: object, _method: str, event: EventDict) -> EventDict:
    if correlation_id():
        event.setdefault("correlation_id", correlation_id())
    trace_id = tracing.current_trace_id()
    if trace_id:
        event.setdefault("trace_id", trace_id)
    return event


@functools.cache
def _redactor() -> Redactor:
    """Built at the first line: by then the settings are known, and a secret cannot change in a running process."""
    from django.conf import settings

    if not settings.configured:
        return Redactor()
    known: dict[str, object] = {name: getattr(settings, name) for name in dir(settings) if name.isupper()}
    return Redactor(secrets_of(known))


def redacted(facts: Mapping[str, object]) -> dict[str, object]:
    """Facts as a log line would show them, for error pages and reports."""
    return _redactor().facts(facts)
