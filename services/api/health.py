"""/health and /ready: that this process lives, and whether and how well the whole works."""

from collections.abc import Sequence
from typing import Any

from msgspec import structs
from starlette.requests import Request
from starlette.responses import Response

from services.api import readiness
from services.api.actor import Api
from services.api.line import Line
from services.api.progress import Facts
from services.api.readiness import Life, Seen
from services.api.reads import Reads
from services.api.replies import reply
from shared import log
from shared.config import Settings
from shared.errors import StoreError
from shared.protocol import WriterState


class Health:
    """Answers monitors; needs no key, so it tells no secrets and no addresses."""

    def __init__(
        self, actor: Api, line: Line, reads: Reads, settings: Settings, *, simulated: bool
    ) -> None:
        self._actor = actor
        self._line = line
        self._reads = reads
        self._settings = settings
        self._simulated = simulated

    async def health(self, _request: Request) -> Response:
        """Say that this process answers."""
        return reply({"status": "ok"})

    async def ready(self, _request: Request) -> Response:
        """Say 200 as long as a POST can be stored, and name every trouble there is."""
        trouble = self._line.trouble()
        seen = await self._look()
        checks = {
            "storing": trouble or "ok",
            "reading": seen.reads_fault or "ok",
            "processes": _by_process(seen.lives),
        }
        body = {
            "status": "unavailable" if trouble else "ok",
            "db": "unavailable" if trouble else "connected",
            # SES's own words may hold addresses, and this page is open to everybody.
            "degraded": [log.mask(sentence) for sentence in readiness.degraded(seen)],
            "checks": checks,
            "account": log.scrub(_account(seen.writer)),
            "simulated": self._simulated,
        }
        return reply(body, 503 if trouble else 200)

    def lives(self) -> list[Life] | None:
        """Answer the processes as the monitor last saw them, None if it is not heard."""
        age = self._line.now().mono - self._actor.snapshot_mono
        return readiness.lives(self._actor.snapshot, age)

    def facts(self) -> Facts:
        """Answer what a reader of counts should know beside them, the same for all topics."""
        lives = self.lives()
        return Facts(
            notes=tuple(readiness.blind_spots(self._settings)),
            writer=self._line.writer(),
            throttled=bool(readiness.pace(lives).throttled),
            now=self._line.now(),
            standstill=readiness.standstill(lives),
        )

    async def _look(self) -> Seen:
        fault = ""
        try:
            if not await self._reads.has_database():
                fault = "there is no database yet"
        except StoreError:
            # The path and the reason are in the log of whoever needs them, not on the open web.
            fault = "the file cannot be opened or read"
        return Seen(self._settings, self._actor.writer, self.lives(), fault)


def _by_process(lives: Sequence[Life] | None) -> dict[str, str]:
    return {life.process: "ok" if life.alive else "not heard" for life in lives or ()}


def _account(writer: WriterState | None) -> dict[str, Any]:
    if writer is None:
        return {}
    account = structs.asdict(writer.account)
    hold = writer.account.hold
    return account | {"hold": None if hold is None else structs.asdict(hold)}
