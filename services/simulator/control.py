"""The control interface under /_simulator/: what a test, a benchmark or an operator asks."""

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec

from services.simulator.errors import UNREADABLE
from services.simulator.faults import Faults, Script, problem_of
from services.simulator.parcels import Forget, Reported, Switches, ToCourier
from services.simulator.reply import Reply, told
from services.simulator.sends import World
from services.simulator.sns import Sns

_decoder: Final = msgspec.json.Decoder(Script)


class Control:
    """Answers the control interface; `summary` waits for the courier's word in the front."""

    def __init__(self, world: World, sns: Sns, clock_ns: Callable[[], int]) -> None:
        self._world = world
        self._sns = sns
        self._clock_ns = clock_ns
        self.parcels: list[ToCourier] = []
        self.flush: Callable[[], None] = lambda: None
        self.changed: Callable[[], None] = lambda: None

    def take(self, method: str, path: str, query: str, body: bytes) -> Reply:
        """Answer one control request at once, without SES's latency."""
        name = path.removeprefix("/_simulator/")
        action = self._actions().get((method, name))
        if action is None:
            reply = _problem(404, f"no such control: {method} {path}")
        else:
            reply = action(parse_qs(query, keep_blank_values=True), body)
        reply.late = False
        return reply

    def summary(self, reported: Reported, cpu_s: float) -> Reply:
        """Tell how calls and events fare, with the courier's word of this very moment."""
        events = {
            kind: {**msgspec.to_builtins(tally), "pending": tally.pending}
            for kind, tally in sorted(reported.tallies.items())
        }
        names = ("made", "copies", "posted", "acked", "refused", "failed", "dropped", "pending")
        total = {name: sum(one[name] for one in events.values()) for name in names}
        document: dict[str, Any] = {
            "simulator": True,
            **self._world.ledger.summary(),
            "suppressed_addresses": len(self._world.suppression),
            "events": events,
            "events_total": {**total, "unrouted": reported.unrouted},
            "cpu_seconds": {"front": cpu_s, "courier": reported.cpu_s},
            "now_ns": self._clock_ns(),
        }
        reply = told(document)
        reply.late = False
        return reply

    def _actions(self) -> dict[tuple[str, str], Callable[[dict[str, list[str]], bytes], Reply]]:
        return {
            ("GET", "health"): self._health,
            ("GET", "ledger"): self._ledger,
            ("GET", "mailbox"): self._mailbox,
            ("GET", "faults"): self._show_faults,
            ("POST", "faults"): self._faults,
            ("POST", "reset"): self._reset,
        }

    def _health(self, _query: dict[str, list[str]], _body: bytes) -> Reply:
        return told({"status": "ok", "simulator": True})

    def _ledger(self, query: dict[str, list[str]], _body: bytes) -> Reply:
        after = _number(query, "after", 0)
        if after is None:
            return _problem(400, "after must be a row number")
        self.flush()
        rows = self._world.ledger.after(after)
        return Reply(200, rows, content_type="application/x-ndjson")

    def _mailbox(self, query: dict[str, list[str]], _body: bytes) -> Reply:
        limit = _number(query, "limit", 50)
        if limit is None:
            return _problem(400, "limit must be a number")
        return told({"mails": self._world.mailbox.last(limit)})

    def _show_faults(self, _query: dict[str, list[str]], _body: bytes) -> Reply:
        return told(self._world.faults.script)

    def _faults(self, _query: dict[str, list[str]], body: bytes) -> Reply:
        try:
            script = _decoder.decode(body or b"{}")
        except UNREADABLE as error:
            return _problem(400, str(error))
        problem = problem_of(script)
        if problem is not None:
            return _problem(400, problem)
        self._put(script)
        return told(script)

    def _put(self, script: Script) -> None:
        now_ns = self._clock_ns()
        self._world.faults.replace(script, now_ns)
        self._world.account.set_switches(script.account, now_ns)
        self.parcels.append(Switches(script.events))

    def _reset(self, query: dict[str, list[str]], _body: bytes) -> Reply:
        """Forget calls, mails, faults and events; topics and sets only with ?all=1."""
        self.flush()
        self._world.ledger.clear()
        self._world.mailbox.clear()
        self._world.suppression.clear()
        self._world.faults = Faults()
        self._world.account.clear()
        self._put(Script())
        self.parcels.append(Forget())
        if query.get("all") == ["1"]:
            self._sns.topics.clear()
            self._world.sets.by_name.clear()
            self.changed()
        return told({"status": "reset"})


def _number(query: dict[str, list[str]], name: str, default: int) -> int | None:
    text = query.get(name, [str(default)])[0]
    return int(text) if text.isascii() and text.isdigit() else None


def _problem(status: int, text: str) -> Reply:
    reply = told({"error": text})
    reply.status = status
    return reply
