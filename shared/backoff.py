"""Retry schedules: pure, with the jitter passed in."""

FIRST_RETRY_S = 60.0
LAST_RETRY_S = 3600.0
MAX_ATTEMPTS = 5


def retry_delay(attempt: int, jitter: float) -> float:
    """Seconds before the call after `attempt` (1 = the first), doubled each time.

    1 minute to 1 hour; `jitter` in 0..1 takes away up to a tenth, so that a refused batch does
    not come back as one.
    """
    return _grow(FIRST_RETRY_S, LAST_RETRY_S, attempt) * (1.0 - 0.1 * jitter)


def probe_delay(failures: int, longest: float = 600.0) -> float:
    """Seconds before an account that refused `failures` times in a row is probed again.

    5 s to 10 minutes: SES advises waits of up to 10 minutes between attempts.
    """
    return _grow(5.0, longest, failures)


def _grow(first: float, last: float, step: int) -> float:
    return min(last, first * 2.0 ** min(step - 1, 32))
