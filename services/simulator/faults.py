"""The fault script: which calls go wrong, and how."""

import re
from typing import Final, Literal

import msgspec

from services.simulator.account import AccountSwitches
from services.simulator.parcels import EventSwitches

_SECOND: Final = 1_000_000_000

Kind = Literal[
    "throttle",
    "error",
    "accept_500",
    "accept_close",
    "accept_hang",
    "hang",
    "close",
    "truncate",
    "no_message_id",
    "slow_drip",
    "entry_status",
    "short_entries",
]
# These happen instead of the call; the others happen to its answer.
INSTEAD: Final = frozenset({"throttle", "error", "hang", "close"})


class Match(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which calls a rule is for; `until_s` counts from the script's arrival."""

    address_re: str | None = None
    api: str | None = None
    every_nth: int = 1
    after: int = 0
    count: int | None = None
    until_s: float | None = None


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that goes wrong."""

    do: Kind
    match: Match = Match()
    code: str = "InternalFailure"
    status: int | None = None
    message: str = "The simulator was told to fail this call."
    entry_status: str = "TRANSIENT_FAILURE"
    drip_s: float = 0.05


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole fault script; what it leaves out is in order."""

    rules: list[Rule] = []
    account: AccountSwitches = AccountSwitches()
    events: EventSwitches = EventSwitches()
    latency_ms: float | None = None
    spread_ms: float | None = None


class _Armed:
    """A rule with the count of what it has matched and done."""

    def __init__(self, rule: Rule, since_ns: int) -> None:
        self.rule = rule
        self._match = rule.match
        self._pattern = re.compile(rule.match.address_re) if rule.match.address_re else None
        seconds = rule.match.until_s
        self._until_ns = None if seconds is None else since_ns + int(seconds * _SECOND)
        self._matched = 0
        self._done = 0

    def strikes(self, api: str, addresses: list[str], now_ns: int) -> bool:
        """Count a call that matches, and tell whether the rule acts on it."""
        if not self._is_for(api, addresses, now_ns):
            return False
        self._matched += 1
        past = self._matched - self._match.after
        if past <= 0 or past % self._match.every_nth:
            return False
        if self._match.count is not None and self._done >= self._match.count:
            return False
        self._done += 1
        return True

    def _is_for(self, api: str, addresses: list[str], now_ns: int) -> bool:
        wanted = self._match.api
        if wanted != api and not (wanted is None and api in ("single", "bulk")):
            return False
        if self._until_ns is not None and now_ns > self._until_ns:
            return False
        pattern = self._pattern
        return pattern is None or any(pattern.search(address) for address in addresses)


class Faults:
    """The script in force."""

    def __init__(self) -> None:
        self.script = Script()
        self._calls: list[_Armed] = []
        self._entries: list[_Armed] = []

    def replace(self, script: Script, now_ns: int) -> None:
        """Put another script in the place of this one, counting from zero."""
        armed = [_Armed(rule, now_ns) for rule in script.rules]
        self.script = script
        self._entries = [one for one in armed if one.rule.do == "entry_status"]
        self._calls = [one for one in armed if one.rule.do != "entry_status"]

    def for_call(self, api: str, addresses: list[str], now_ns: int) -> Rule | None:
        """Give the first rule that strikes a call; api is single, bulk or an operation's name."""
        for armed in self._calls:
            if armed.strikes(api, addresses, now_ns):
                return armed.rule
        return None

    def for_entry(self, addresses: list[str], now_ns: int) -> str | None:
        """Give the status one entry of a bulk call is told to have."""
        for armed in self._entries:
            if armed.strikes("bulk", addresses, now_ns):
                return armed.rule.entry_status
        return None


def problem_of(script: Script) -> str | None:
    """Say what is wrong with a script that decoded well."""
    for number, rule in enumerate(script.rules):
        try:
            re.compile(rule.match.address_re or "")
        except re.error as error:
            return f"rules[{number}].match.address_re: {error}"
        if rule.match.every_nth < 1:
            return f"rules[{number}].match.every_nth must be 1 or more"
    if script.events.forge not in ("none", "bad_signature", "foreign_topic", "unsigned"):
        return "events.forge must be none, bad_signature, foreign_topic or unsigned"
    if script.account.getaccount not in ("ok", "denied", "missing"):
        return "account.getaccount must be ok, denied or missing"
    if script.account.enforcement not in ("HEALTHY", "PROBATION", "SHUTDOWN"):
        return "account.enforcement must be HEALTHY, PROBATION or SHUTDOWN"
    return None
