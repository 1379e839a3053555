"""Idempotency keys: the same request twice is stored once and answered the same."""

import contextlib
import hashlib
import re
from collections.abc import Iterator, Sequence

from services.api.refusal import RefusalError
from shared.protocol import IdempotencyKey

_FORM = re.compile(rb"[!-~]{1,255}")


def read(values: Sequence[bytes]) -> bytes | None:
    """Answer the key of the Idempotency-Key headers, None without one; or raise RefusalError."""
    if not values:
        return None
    if len(values) > 1 or not _FORM.fullmatch(values[0]):
        told = "Idempotency-Key must be one header of 1 to 255 visible ASCII characters."
        raise RefusalError(400, "bad_idempotency_key", told)
    return values[0]


def seal(key: bytes, path: str, raw: bytes) -> IdempotencyKey:
    """Make what the writer keeps of a key: hashes of it with the path, and of the raw body."""
    return IdempotencyKey(
        key=hashlib.sha256(path.encode() + b"\0" + key).digest(),
        body=hashlib.sha256(raw).digest(),
    )


def mismatch() -> RefusalError:
    """Refuse a key that came with another body before."""
    told = "This Idempotency-Key came with another body before; use a new key for a new request."
    return RefusalError(422, "idempotency_mismatch", told)


class Running:
    """The keys whose request is being worked on in this process."""

    def __init__(self) -> None:
        self._keys: set[bytes] = set()

    @contextlib.contextmanager
    def hold(self, key: IdempotencyKey | None) -> Iterator[None]:
        """Hold a key while its request runs; refuse a second one meanwhile."""
        if key is None:
            yield
            return
        if key.key in self._keys:
            told = "A request with this Idempotency-Key is still running; ask again for its answer."
            raise RefusalError(409, "still_running", told, headers={"Retry-After": "1"})
        self._keys.add(key.key)
        try:
            yield
        finally:
            self._keys.discard(key.key)
