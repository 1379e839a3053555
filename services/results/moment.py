"""Times as AWS writes them."""

import datetime


def read(text: str | None) -> int | None:
    """Read a time as Unix milliseconds; None for what is no time."""
    if not text:
        return None
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return max(0, round(moment.timestamp() * 1000))
