"""POST /v1/messages: a submission is checked, handed to the writer, and answered when stored."""

import asyncio
from collections.abc import Callable
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import Response

from services.api import actor, head, idempotency, shape, submission
from services.api.body import BodyRoom, require_json
from services.api.line import Line
from services.api.query import parameters
from services.api.reads import Reads
from services.api.refusal import Fault, RefusalError, unavailable, wrong
from services.api.replies import stored_reply
from services.api.serial import Serial
from services.api.submission import Checked
from shared import crash
from shared.clock import Now
from shared.domain import SubmissionId
from shared.errors import StoreError
from shared.protocol import IdempotencyKey, NotStored, Stored, Submit

LARGEST = 25 * 1024 * 1024
_ROOM = 128 * 1024 * 1024
_AT_ONCE = 64 * 1024
"""Bytes of a body that are checked in the event loop; a larger one has a thread."""

_NOTHING = "nothing of this request was stored"
_REASONS = {
    "late": "The writer is too slow at present",
    "absent": "The request did not reach the writer in time",
    "storage_full": "The disk is full",
    "storage_failed": "The database cannot be written",
}


class Messages:
    """Takes mail in."""

    def __init__(
        self, line: Line, reads: Reads, zone: ZoneInfo, is_writer_alive: Callable[[], bool]
    ) -> None:
        self._line = line
        self._reads = reads
        self._zone = zone
        self._is_writer_alive = is_writer_alive
        self._room = BodyRoom(_ROOM, LARGEST)
        self._running = idempotency.Running()
        self._ids = Serial(32)

    async def post(self, request: Request) -> Response:
        """Store a submission; 200 says that it is committed, 503 that surely nothing is."""
        began = self._line.now()
        wants_ids = _wants_ids(request)
        require_json(request.scope)
        key = idempotency.read(head.values(request.scope, b"idempotency-key"))
        async with self._room.body(request) as raw:
            octets = len(raw)
            sealed = None if key is None else idempotency.seal(key, request.scope["path"], raw)
            checked = await self._check(raw, began)
        if checked.times.passed and sealed is None:
            raise wrong(checked.times.passed)
        crash.point("api.checked")
        with self._running.hold(sealed):
            stored = await self._store(self._submit(checked, sealed, began), octets, checked)
        crash.point("api.stored")
        more = {"ids": ids(stored, checked)} if wants_ids else {}
        return stored_reply(stored, self._zone, checked.times.expires_at, more)

    async def _check(self, raw: bytes, began: Now) -> Checked:
        def check() -> Checked:
            return submission.check(shape.decode(raw), self._zone, began.ms)

        return check() if len(raw) <= _AT_ONCE else await asyncio.to_thread(check)

    def _submit(self, checked: Checked, key: IdempotencyKey | None, began: Now) -> Submit:
        now = self._line.now()
        # Mail whose time has passed is never stored anew: with its deadline over, the writer
        # answers a repeat as before and refuses all else.
        patience = -1.0 if checked.times.passed else actor.STORE_S
        return Submit(
            reply_to="api",
            submission=SubmissionId(self._ids.next()),
            deadline=now.mono + patience,
            began_mono=began.mono,
            accepted_at=now.ms,
            scheduled_at=checked.times.scheduled_at,
            mails=checked.mails,
            tally=checked.tally,
            idempotency=key,
            expires_at=checked.times.expires_at,
        )

    async def _store(self, submit: Submit, octets: int, checked: Checked) -> Stored:
        if trouble := self._line.trouble():
            told = f"Mail cannot be stored at present ({trouble}); {_NOTHING}."
            raise unavailable("storage_unavailable", told)
        if not self._line.has_room(octets, actor.SUBMIT_OCTETS):
            raise unavailable("busy", f"Too much mail is being stored at once; {_NOTHING}.", 1)
        answer = await self._line.store(submit, octets)
        if isinstance(answer, NotStored):
            if checked.times.passed and answer.code == "late":
                raise wrong(checked.times.passed)
            raise _not_stored(answer.code)
        return answer or await self._find(submit.submission)

    async def _find(self, submission_: SubmissionId) -> Stored:
        """Look for a submission that the writer gives no word of.

        Its deadline has passed: without a writer nobody can still be storing it, and what the
        database says is final. With one that is stuck nobody knows.
        """
        if self._is_writer_alive():
            raise _outcome_unknown(submission_)
        try:
            stored = await self._reads.stored(submission_)
        except StoreError:
            raise _outcome_unknown(submission_) from None
        if stored is None:
            raise unavailable("storage_unavailable", f"The writer has ended; {_NOTHING}.")
        return stored


def ids(stored: Stored, checked: Checked) -> list[dict[str, object]] | None:
    """List the recipients' ids, by message and address; None if the writer did not keep them.

    The ids of a mail follow its first one without a gap, in the order of its addresses.
    """
    if len(stored.firsts) != len(checked.mails):
        return None
    mails = zip(checked.places, stored.firsts, checked.mails, strict=True)
    return [
        {"message": place, "email": email, "id": first + number}
        for place, first, mail in mails
        for number, email in enumerate(mail.emails)
    ]


def _wants_ids(request: Request) -> bool:
    wanted = parameters(request, "return").get("return")
    if wanted not in {None, "ids"}:
        raise wrong([Fault("", "The query parameter return can only be ids")])
    return wanted is not None


def _not_stored(code: str) -> RefusalError:
    if code == "idempotency_mismatch":
        return idempotency.mismatch()
    if code == "poisonous":
        told = f"The writer could not store this request, and will not another time; {_NOTHING}."
        return RefusalError(500, code, told)
    return unavailable(code, f"{_REASONS.get(code, 'The writer refused')}; {_NOTHING}.")


def _outcome_unknown(submission_: SubmissionId) -> RefusalError:
    told = (
        "The writer does not answer: whether this request was stored is not known."
        " Repeat it with the same Idempotency-Key: what is stored is not stored again."
    )
    refusal = RefusalError(504, "outcome_unknown", told)
    refusal.more = {"submission_id": submission_}
    return refusal
