"""/v1/suppressions: who is not mailed any more; listed, added to, taken off."""

import asyncio
from collections.abc import Iterator

from msgspec import structs
from starlette.requests import Request
from starlette.responses import Response

from services.api import ordered, paging, suppressing
from services.api.body import BodyRoom, kind, require_json
from services.api.line import Line
from services.api.ordered import Wish, Wishes
from services.api.query import named, parameters
from services.api.reads import Reads
from services.api.refusal import Fault, RefusalError, wrong
from services.api.replies import rejected_part, replay_header, reply, utc
from services.api.suppressing import Checked
from shared.protocol import ReleaseAtSes, Suppress, Suppression, Unsuppress
from shared.store.listing import Suppressed

PART = 10_000
"""Addresses in one order: the writer has others to serve between them."""
_LARGEST = 25 * 1024 * 1024
_ROOM = 64 * 1024 * 1024
_AT_ONCE = 64 * 1024
_CHECKS = {"application/json": suppressing.from_json, "text/csv": suppressing.from_csv}


class Suppressions:
    """Answers for the suppression list."""

    def __init__(self, line: Line, reads: Reads) -> None:
        self._line = line
        self._reads = reads
        self._wishes = Wishes(BodyRoom(_ROOM, _LARGEST))

    async def listed(self, request: Request) -> Response:
        """List the addresses by alphabet, page by page, or look for one."""
        query = parameters(request, "email", "after", "limit")
        faults: list[Fault] = []
        limit = paging.limit(query, faults)
        if faults:
            raise wrong(faults)
        if "email" in query:
            found = await self._reads.suppression(suppressing.one(query["email"]))
            page = [] if found is None else [found]
            return reply({"suppressions": [_shown(one) for one in page], "next": None})
        page = await self._reads.suppressions(query.get("after", ""), limit)
        following = page[-1].email if len(page) == limit else None
        return reply({"suppressions": [_shown(one) for one in page], "next": following})

    async def one(self, request: Request) -> Response:
        """Tell since when and why an address is on the list."""
        parameters(request)
        found = await self._reads.suppression(suppressing.one(named(request, "email")))
        if found is None:
            told = "This address is not on the suppression list."
            raise RefusalError(404, "not_listed", told)
        return reply(_shown(found))

    async def add(self, request: Request) -> Response:
        """Put addresses on the list: JSON, or a CSV of up to 100,000."""
        parameters(request)
        async with self._wishes.take(request) as wish:
            checked = await _check(request, wish.raw)
            added, replayed = await self._suppress(wish, checked)
        body = {
            "total": checked.total,
            "added": added,
            "already": checked.total - checked.errors - added,
            "errors": checked.errors,
            **rejected_part(checked.rejected, checked.errors),
        }
        return reply(body, headers=replay_header(replayed=replayed))

    async def remove(self, request: Request) -> Response:
        """Take addresses off the list, and off SES's own."""
        parameters(request)
        async with self._wishes.take(request) as wish:
            require_json(request.scope)
            return await self._unsuppress(wish, suppressing.to_remove(wish.raw))

    async def remove_one(self, request: Request) -> Response:
        """Take one address off the list, and off SES's own."""
        parameters(request)
        async with self._wishes.take(request) as wish:
            return await self._unsuppress(wish, (suppressing.one(named(request, "email")),))

    async def _suppress(self, wish: Wish, checked: Checked) -> tuple[int, bool]:
        """Give one order for each part; if one fails, say how far it came."""
        added = done = 0
        replayed = True
        for number, part in enumerate(_parts(checked.entries)):
            order = Suppress("api", wish.order(number), part)
            try:
                answer = await ordered.carry_out(self._line, order, ordered.impossible)
            except RefusalError as error:
                raise _broken_off(error, checked, done, added) if done else error from None
            added += answer.changed
            done += len(part)
            replayed = replayed and answer.replayed
        return added, replayed

    async def _unsuppress(self, wish: Wish, emails: tuple[str, ...]) -> Response:
        """Take addresses off our list; that stands, whatever SES then says."""
        order = Unsuppress("api", wish.order(), emails)
        done = await ordered.carry_out(self._line, order, ordered.impossible)
        ses = await self._release(ReleaseAtSes("api", wish.order(), emails))
        body = {"removed": done.changed, "not_listed": len(emails) - done.changed, "ses": ses}
        return reply(body)

    async def _release(self, wish: ReleaseAtSes) -> dict[str, object]:
        answer = await self._line.release(wish)
        if answer is None:
            told = (
                "No sender answered in time: SES's own list may still have these addresses."
                " Take them off again once GET /ready misses no sender."
            )
            return {"released": 0, "refused": [], "error": told}
        refused = [structs.asdict(one) for one in answer.refused]
        return {"released": answer.released, "refused": refused}


async def _check(request: Request, raw: bytes) -> Checked:
    check = _CHECKS.get(kind(request.scope))
    if check is None:
        told = "Send JSON or CSV in UTF-8, with Content-Type: application/json or text/csv."
        raise RefusalError(415, "not_json_type", told)
    return check(raw) if len(raw) <= _AT_ONCE else await asyncio.to_thread(check, raw)


def _parts(entries: tuple[Suppression, ...]) -> Iterator[tuple[Suppression, ...]]:
    for start in range(0, len(entries), PART):
        yield entries[start : start + PART]


def _broken_off(error: RefusalError, checked: Checked, done: int, added: int) -> RefusalError:
    told = (
        f"The first {done} of {len(checked.entries)} addresses are on the list, {added} of them"
        f" newly. With the next {PART}: {error.sentence} Send the same again: what is on the list"
        " stays on it."
    )
    refusal = RefusalError(error.status, error.code, told, headers=error.headers)
    refusal.more = {"total": checked.total, "done": done, "added": added}
    return refusal


def _shown(one: Suppressed) -> dict[str, object]:
    return {**one._asdict(), "created_at": utc(one.created_at)}
