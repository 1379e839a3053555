"""The two calls that send mail: decided here, written into the ledger, told to the courier."""

from typing import Final

import msgspec

from services.simulator import letters, template
from services.simulator.account import Account
from services.simulator.dice import Dice, uuid_of
from services.simulator.errors import UNREADABLE, RefusalError, bad_request
from services.simulator.faults import INSTEAD, Faults, Rule
from services.simulator.ledger import ACCEPTED, Ledger, Line
from services.simulator.letters import Letter
from services.simulator.limits import bare, check_count
from services.simulator.mailbox import Mailbox
from services.simulator.parcels import Mail
from services.simulator.reply import Reply, encode, instead, refusal_of, refused, spoiled, told
from services.simulator.sets import ConfigurationSets
from services.simulator.shapes import Entry, SendBulkEmail, SendEmail, Tag, Template
from services.simulator.suppression import SuppressionList
from services.simulator.verdict import Fate, Oracle, is_mailbox_simulator

_single_decoder: Final = msgspec.json.Decoder(SendEmail)
_bulk_decoder: Final = msgspec.json.Decoder(SendBulkEmail)
_SECOND: Final = 1_000_000_000


class World(msgspec.Struct):
    """Everything a send call is decided by."""

    account: Account
    sets: ConfigurationSets
    suppression: SuppressionList
    faults: Faults
    ledger: Ledger
    mailbox: Mailbox
    oracle: Oracle
    dice: Dice
    wall_offset_s: float  # wall clock less monotonic clock

    def wall_s(self, now_ns: int) -> float:
        """Give the wall clock's time for a monotonic one."""
        return now_ns / _SECOND + self.wall_offset_s

    def message_id(self, now_ns: int) -> str:
        """Make a message id: the time in front, so that a restart never repeats one."""
        milliseconds = int(self.wall_s(now_ns) * 1000)
        return f"010c{milliseconds:012x}-{uuid_of(self.dice)}-000000"


class _Heard(msgspec.Struct):
    """One recipient group of a call, for the ledger."""

    addresses: list[str]
    tags: list[Tag]


def single(world: World, body: bytes, now_ns: int) -> Reply:
    """Answer SendEmail."""
    try:
        call = _single_decoder.decode(body)
    except UNREADABLE as error:
        return _unreadable(world, "single", error, now_ns)
    heard = [_Heard(call.destination.everyone(), call.email_tags)]
    rule = world.faults.for_call("single", heard[0].addresses, now_ns)
    if rule is not None and rule.do in INSTEAD:
        return _not_done(world, "single", heard, rule, now_ns)
    try:
        letter = letters.single(call, len(body))
        if world.mailbox.keeps:
            letter.rendered = letters.bodies(call) or letter.rendered
        message_id = _decide_single(world, letter, now_ns)
    except RefusalError as refusal:
        _write_refused(world, "single", heard, refusal.code, now_ns)
        return refused(refusal)
    except UNREADABLE as error:  # a body's text is decoded last, if at all
        return _unreadable(world, "single", error, now_ns)
    fault = None if rule is None else rule.do
    world.ledger.record(now_ns, "single", _lines(letter, ACCEPTED, message_id), fault)
    reply = Reply(200, encode({"MessageId": message_id}))
    reply.mails = _accept(world, letter, message_id, "single", now_ns)
    return reply if rule is None else spoiled(reply, rule)


def bulk(world: World, body: bytes, now_ns: int) -> Reply:
    """Answer SendBulkEmail."""
    try:
        call = _bulk_decoder.decode(body)
    except UNREADABLE as error:
        return _unreadable(world, "bulk", error, now_ns)
    heard = [_Heard(e.destination.everyone(), e.replacement_tags) for e in call.bulk_email_entries]
    everyone = [address for one in heard for address in one.addresses]
    rule = world.faults.for_call("bulk", everyone, now_ns)
    if rule is not None and rule.do in INSTEAD:
        return _not_done(world, "bulk", heard, rule, now_ns)
    try:
        shared, parsed = _check_bulk(world, call, len(body), now_ns)
        results, lines, mails = _Bulk(world, call, shared, now_ns).decide(parsed)
    except RefusalError as refusal:
        _write_refused(world, "bulk", heard, refusal.code, now_ns)
        return refused(refusal)
    world.ledger.record(now_ns, "bulk", lines, None if rule is None else rule.do)
    reply = told({"BulkEmailEntryResults": results})
    reply.mails = mails
    return reply if rule is None else spoiled(reply, rule)


class _Bulk:
    """The decisions on one bulk call's entries, in request order."""

    def __init__(self, world: World, call: SendBulkEmail, shared: Template, now_ns: int) -> None:
        self._world = world
        self._call = call
        self._shared = shared
        self._now_ns = now_ns
        self._data = template.read_data(shared.template_data)
        self._left = world.account.left(now_ns)
        self._recipients = 0
        self._counted = 0

    def decide(
        self, parsed: template.Parsed
    ) -> tuple[list[dict[str, str]], list[Line], list[Mail]]:
        """Give each entry its result, and count the accepted ones to the account."""
        decided = [self._entry(entry, parsed) for entry in self._call.bulk_email_entries]
        statuses = [status for status, _text, _letter in decided]
        if "ACCOUNT_DAILY_QUOTA_EXCEEDED" in statuses and "SUCCESS" not in statuses:
            self._world.account.check_quota(1, self._now_ns)
        self._world.account.spend(self._recipients, self._counted, self._now_ns)
        results: list[dict[str, str]] = []
        lines: list[Line] = []
        mails: list[Mail] = []
        pairs = zip(decided, self._call.bulk_email_entries, strict=True)
        for (status, text, letter), entry in pairs:
            if status != "SUCCESS" or letter is None:
                results.append({"Status": status, "Error": text})
                lines += _refused_lines(
                    _Heard(entry.destination.everyone(), entry.replacement_tags), status
                )
                continue
            message_id = self._world.message_id(self._now_ns)
            results.append({"Status": status, "MessageId": message_id})
            lines += _lines(letter, ACCEPTED, message_id)
            mails += _accept(self._world, letter, message_id, "bulk", self._now_ns)
        return results, lines, mails

    def _entry(self, entry: Entry, parsed: template.Parsed) -> tuple[str, str, Letter | None]:
        addresses = [bare(address) for address in entry.destination.everyone()]
        told_status = self._world.faults.for_entry(addresses, self._now_ns)
        if told_status is not None:
            return told_status, "The simulator was told to fail this entry.", None
        try:
            letter = letters.entry(self._call, self._shared, entry)
            letters.fill(letter, parsed, letters.entry_data(entry, self._data))
        except RefusalError as refusal:
            return "INVALID_PARAMETER", refusal.message, None
        unverified = self._world.account.unverified(addresses)
        if unverified:
            text = self._world.account.unverified_text(unverified)
            return "MESSAGE_REJECTED", text, None
        counted = _counted(addresses)
        if self._counted + counted > self._left:
            return "ACCOUNT_DAILY_QUOTA_EXCEEDED", "Daily message quota exceeded.", None
        self._counted += counted
        self._recipients += len(addresses)
        return "SUCCESS", "", letter


def _check_bulk(
    world: World, call: SendBulkEmail, size: int, now_ns: int
) -> tuple[Template, template.Parsed]:
    shared = call.default_content.template
    if shared is None:
        msg = "DefaultContent must have a Template."
        raise bad_request(msg)
    if not call.bulk_email_entries:
        msg = "BulkEmailEntries must not be empty."
        raise bad_request(msg)
    check_count(len(call.bulk_email_entries))
    check_count(sum(len(e.destination.everyone()) for e in call.bulk_email_entries))
    parsed = letters.parsed_template(shared, size)
    template.read_data(shared.template_data)
    letters.check_entries(call, shared)
    _check_world(world, letters.sender_of(call), call.configuration_set_name or "")
    world.account.check_rate(now_ns)
    return shared, parsed


def _check_world(world: World, sender: str, set_name: str) -> None:
    world.account.check_open()
    if set_name:
        world.sets.check_sending(set_name)
    world.account.check_sender(sender)


def _decide_single(world: World, letter: Letter, now_ns: int) -> str:
    everyone = letter.everyone()
    account = world.account
    _check_world(world, letter.source, letter.configuration_set)
    unverified = account.unverified(everyone)
    if unverified:
        raise RefusalError("MessageRejected", account.unverified_text(unverified))
    counted = _counted(everyone)
    account.check_quota(counted, now_ns)
    account.check_rate(now_ns)
    account.spend(len(everyone), counted, now_ns)
    return world.message_id(now_ns)


def _counted(addresses: list[str]) -> int:
    return sum(not is_mailbox_simulator(address) for address in addresses)


def _accept(world: World, letter: Letter, message_id: str, api: str, now_ns: int) -> list[Mail]:
    """Decide what becomes of an accepted letter, and tell it only where a set asks for events."""
    world.mailbox.put(letter, message_id, api)
    at_s = world.wall_s(now_ns)
    fates = [_fate(world, letter, address, at_s) for address in letter.everyone()]
    if not letter.configuration_set:
        return []
    return [
        Mail(
            message_id=message_id,
            at_s=at_s,
            source=letter.source,
            to=letter.to,
            cc=letter.cc,
            bcc=letter.bcc,
            subject=letter.rendered.subject,
            headers=letter.headers,
            tags=letter.tags,
            configuration_set=letter.configuration_set,
            operation="SendEmail" if api == "single" else "SendBulkEmail",
            fates=fates,
            error=letter.error,
        )
    ]


def _fate(world: World, letter: Letter, address: str, at_s: float) -> Fate:
    if letter.error:
        return Fate.UNRENDERED
    if letter.infected:
        return Fate.REJECT
    if address in world.suppression:
        return Fate.SUPPRESSED
    fate = world.oracle.fate_of(address)
    # SES lists hard bounces and complaints by itself, except those of its own test mailboxes.
    if fate in (Fate.BOUNCE, Fate.COMPLAINT) and not is_mailbox_simulator(address):
        world.suppression.add(address, "BOUNCE" if fate is Fate.BOUNCE else "COMPLAINT", at_s)
    return fate


def _lines(letter: Letter, verdict: str, message_id: str | None) -> list[Line]:
    mid, att = letter.tag("mid"), letter.tag("att")
    return [Line(verdict, mid, att, address, message_id) for address in letter.everyone()]


def _refused_lines(heard: _Heard, verdict: str) -> list[Line]:
    tags = {tag.name: tag.value for tag in heard.tags}
    mid, att = tags.get("mid"), tags.get("att")
    return [Line(verdict, mid, att, bare(address), None) for address in heard.addresses]


def _write_refused(world: World, api: str, heard: list[_Heard], code: str, now_ns: int) -> None:
    lines = [line for one in heard for line in _refused_lines(one, code)]
    world.ledger.record(now_ns, api, lines, None)
    world.ledger.refuse_call(code)


def _not_done(world: World, api: str, heard: list[_Heard], rule: Rule, now_ns: int) -> Reply:
    verdict = rule.do if rule.do in ("hang", "close") else refusal_of(rule).code
    lines = [line for one in heard for line in _refused_lines(one, verdict)]
    world.ledger.record(now_ns, api, lines, rule.do)
    world.ledger.refuse_call(verdict)
    return instead(rule)


def _unreadable(world: World, api: str, error: Exception, now_ns: int) -> Reply:
    refusal = unreadable(error)
    world.ledger.record(now_ns, api, [], None)
    world.ledger.refuse_call(refusal.code)
    return refused(refusal)


def unreadable(error: Exception) -> RefusalError:
    """Refuse a body that is no JSON, or not of the operation's shape."""
    if "missing required field" in str(error):
        msg = f"1 validation error detected: {error}: Member must not be null"
        return bad_request(msg)
    return RefusalError("SerializationException", str(error))
