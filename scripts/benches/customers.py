"""Clients of an installation that is being broken: they note what they are told."""

import http.client
import json
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from scripts.benches.evidence import Scene, call
from scripts.benches.facts import Cancelled, Clients, Told

CONTENT: Final = "<html><body><h1>Still here?</h1></body></html>"
PATIENCE_S: Final = 120.0
"""A client repeats for so long; then the product does not answer, and that is a failure."""

_PAUSE_S = 0.1
_SURELY_NOTHING = 503
_NO_ANSWER = (OSError, http.client.HTTPException)


class SilenceError(Exception):
    """The API gave no usable answer in all the time a client has patience for."""


class Customer:
    """Posts mail and gives orders; each answer is kept for the oracle.

    A careful one repeats with the same Idempotency-Key until it knows; a hasty one asks once.
    """

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._told: list[Told] = []
        self._cancelled: list[Cancelled] = []
        self._refused: set[str] = set()
        self._unheard: list[frozenset[str]] = []

    def clients(self) -> Clients:
        """Answer all that was said so far."""
        return Clients(
            tuple(self._told),
            tuple(self._cancelled),
            frozenset(self._refused),
            tuple(self._unheard),
        )

    def post(self, topic: str, emails: Sequence[str], **more: Any) -> None:
        """Post one message until it is known to be stored."""
        key = {"Idempotency-Key": secrets.token_hex(8)}
        body = self._body(topic, emails, more)
        answer = self._until_answered("POST", "/v1/messages?return=ids", body, key)
        self._hear(topic, answer)

    def post_once(self, topic: str, emails: Sequence[str], **more: Any) -> None:
        """Post one message and take what comes, be it silence."""
        body = self._body(topic, emails, more)
        try:
            status, answer = self._ask("POST", "/v1/messages?return=ids", body)
        except _NO_ANSWER:
            self._unheard.append(frozenset(emails))
            return
        if status == 200:
            self._hear(topic, json.loads(answer))
        elif status == _SURELY_NOTHING:
            self._refused.update(emails)
        else:
            self._unheard.append(frozenset(emails))

    def cancel(self, topic: str) -> None:
        """Cancel a topic until that is confirmed."""
        answer = self._until_answered("DELETE", f"/v1/topics/{topic}")
        order = Cancelled(topic, answer["stopped"], answer["in_flight"], time.monotonic_ns())
        self._cancelled.append(order)

    def resend(self, recipient: int) -> None:
        """Settle a mail whose answer was lost and cannot be proven, as an operator would."""
        path = f"/v1/messages/{recipient}/resolve"
        self._until_answered("POST", path, {"outcome": "resend"}, settled=(200, 409))

    def _body(self, topic: str, emails: Sequence[str], more: dict[str, Any]) -> dict[str, Any]:
        mail = {
            "topic_id": topic,
            "emails": list(emails),
            "subject": "A crash test",
            "content": more.pop("content", CONTENT),
        }
        return {"messages": [mail], **more}

    def _hear(self, topic: str, answer: dict[str, Any]) -> None:
        recipients = {one["id"]: one["email"] for one in answer["ids"]}
        self._told.append(Told(topic, recipients, time.monotonic_ns()))

    def _until_answered(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        settled: tuple[int, ...] = (200,),
    ) -> dict[str, Any]:
        give_up = time.monotonic() + PATIENCE_S
        last = "nothing"
        while time.monotonic() < give_up:
            try:
                status, answer = self._ask(method, path, body, headers)
                if status in settled:
                    heard: dict[str, Any] = json.loads(answer)
                    return heard
                last = f"{status} {answer[:300]!r}"
            except _NO_ANSWER as error:
                last = repr(error)
            time.sleep(_PAUSE_S)
        raise SilenceError(f"{method} {path}: {PATIENCE_S:.0f} s without success, last {last}")

    def _ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        key = {"X-API-KEY": self._scene.key}
        return call(self._scene.port, method, path, body, key | (headers or {}))


def wait_until(check: Callable[[], bool], seconds: float) -> bool:
    """Look twice a second until something is so; tell whether it came to be in time."""
    give_up = time.monotonic() + seconds
    while not check():
        if time.monotonic() > give_up:
            return False
        time.sleep(0.5)
    return True
