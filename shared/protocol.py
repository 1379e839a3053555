"""Every message between the actors: the table of contents of the system.

Each is a frozen struct whose docstring begins with its route. Commands are imperative and may be
refused; facts are in the past tense. Fields are only ever added, at the end, with defaults.

Times: `*_at` are wall clock milliseconds (Unix); `deadline`, `not_before` and `*_mono` are
CLOCK_MONOTONIC seconds, the same in every process of one boot. An *epoch* is a number new at
every start of a process. Numbers named `seq` grow by one; the newest of an epoch wins.
"""

from typing import TypeAlias

from msgspec import Struct

from shared.domain import ContentId, Feedback, JobId, RecipientId, State, SubmissionId, Verdict

Headers: TypeAlias = tuple[tuple[str, str], ...]


class Part(Struct, frozen=True, array_like=True, gc=False):
    """A piece of a message; travels only inside one."""


class Message(Struct, frozen=True, array_like=True, tag=True):
    """What one frame on the wire carries."""


# ── api ⇄ writer: submissions (the mailbox "intake", behind "writer", which is drained first) ──


class Mail(Part, frozen=True):
    """One subject and content for many addresses, already checked, no address twice."""

    topic: str | None
    subject: str
    content: str
    emails: tuple[str, ...]
    headers: Headers = ()
    urgent: bool = False


class Rejected(Part, frozen=True):
    """An address that was refused, by its place in the request."""

    message: int
    index: int
    email: str
    reason: str


class IdempotencyKey(Part, frozen=True):
    """A caller's key (hashed with the path) and the hash of the raw body it came with."""

    key: bytes
    body: bytes


class Tally(Part, frozen=True):
    """What the API found while it checked a request; kept so that a repeat answers the same."""

    errors: int
    duplicates: int
    rejected: tuple[Rejected, ...] = ()


class Submit(Message, frozen=True):
    """api -> intake: store this, unless its deadline has passed; a repeat gets the same answer.

    `scheduled_at` None means now. `began_mono` is when the request came in. What has not left by
    `expires_at` is stopped.
    """

    reply_to: str
    submission: SubmissionId
    deadline: float
    began_mono: float
    accepted_at: int
    scheduled_at: int | None
    mails: tuple[Mail, ...]
    tally: Tally
    idempotency: IdempotencyKey | None = None
    expires_at: int | None = None


class LookUp(Message, frozen=True):
    """api -> intake: was this submission stored? Travels behind it, so the answer is final."""

    reply_to: str
    submission: SubmissionId


class Stored(Message, frozen=True):
    """writer -> api: the submission is committed; the HTTP answer is made of this alone.

    `submission` is the one that asked; `original` the one that was stored (another one when an
    idempotency key is replayed). `firsts` has, for each of its mails, the first recipient's id;
    the ids of the others follow it without a gap.
    """

    submission: SubmissionId
    original: SubmissionId
    total: int
    success: int
    suppressed: int
    duration_ms: int
    scheduled_at: int | None
    tally: Tally
    replayed: bool = False
    firsts: tuple[RecipientId, ...] = ()


class NotStored(Message, frozen=True):
    """writer -> api: surely nothing of the submission is stored, and nothing will be.

    `code` is late | absent | idempotency_mismatch | storage_full | storage_failed | poisonous.
    """

    submission: SubmissionId
    code: str


# ── api ⇄ writer: orders and opens ──


class CancelTopic(Message, frozen=True):
    """api -> writer: stop what was accepted for this topic before now."""

    reply_to: str
    order: str
    topic: str


class TopicCancelled(Message, frozen=True):
    """writer -> api: committed; `in_flight` were already through the gate."""

    order: str
    stopped: int
    in_flight: int


class OrderFailed(Message, frozen=True):
    """writer -> api: the order could not be committed; nothing of it happened."""

    order: str
    code: str


class PauseTopic(Message, frozen=True):
    """api -> writer: let nothing of this topic go until it is resumed, later posts included."""

    reply_to: str
    order: str
    topic: str
    reason: str = ""


class ResumeTopic(Message, frozen=True):
    """api -> writer: let a paused topic go on."""

    reply_to: str
    order: str
    topic: str


class RescheduleTopic(Message, frozen=True):
    """api -> writer: what has not left of this topic is due at another time; None means now."""

    reply_to: str
    order: str
    topic: str
    due_at: int | None = None


class RetryFailed(Message, frozen=True):
    """api -> writer: put a topic's Failed recipients back into the queue, attempts from zero."""

    reply_to: str
    order: str
    topic: str


class CancelMail(Message, frozen=True):
    """api -> writer: do not send this one recipient's mail."""

    reply_to: str
    order: str
    recipient: RecipientId


class ResolveMail(Message, frozen=True):
    """api -> writer: settle an Unknown mail by hand: take it for sent, or send it again."""

    reply_to: str
    order: str
    recipient: RecipientId
    resend: bool


class SetRate(Message, frozen=True):
    """api -> writer: R as wished from now on, recipients/s; None returns to the setting."""

    reply_to: str
    order: str
    rate: float | None = None


class ResumeBulk(Message, frozen=True):
    """api -> writer: let bulk mail go on that was paused for bounces or complaints."""

    reply_to: str
    order: str


class Suppression(Part, frozen=True):
    """An address (lower case) to put on the suppression list, and why."""

    email: str
    reason: str = "manual"
    detail: str = ""


class Suppress(Message, frozen=True):
    """api -> intake: put addresses on the suppression list; those on it stay as they are."""

    reply_to: str
    order: str
    entries: tuple[Suppression, ...]


class Unsuppress(Message, frozen=True):
    """api -> intake: take addresses (lower case) off the suppression list."""

    reply_to: str
    order: str
    emails: tuple[str, ...]


class OrderDone(Message, frozen=True):
    """writer -> api: the order is committed.

    `changed` counts what it touched (topics, mails or addresses), `in_flight` the mails that were
    through the gate already. A repeat of the order gets the same answer; it is `replayed` if
    another order of the same idempotency key got it before.
    """

    order: str
    changed: int = 0
    in_flight: int = 0
    state: State | None = None
    replayed: bool = False


class OrderRefused(Message, frozen=True):
    """writer -> api: the order is not possible as things stand; nothing was changed.

    `code` is no_such_topic | no_such_message | in_flight | not_unknown | final | cancelled |
    rate_too_high | idempotency_mismatch; `state` is where the mail stands, `limit` what SES allows.
    """

    order: str
    code: str
    state: State | None = None
    limit: float | None = None


class ReleaseAtSes(Message, frozen=True):
    """api -> sender: take these addresses off SES's own suppression list too."""

    reply_to: str
    order: str
    emails: tuple[str, ...]


class Unreleased(Part, frozen=True):
    """An address that SES did not take off its list, and what it said."""

    email: str
    error: str


class ReleasedAtSes(Message, frozen=True):
    """sender -> api: SES took the others off, or did not have them."""

    order: str
    released: int
    refused: tuple[Unreleased, ...] = ()


class Opened(Part, frozen=True):
    """One hit of an open pixel."""

    recipient: RecipientId
    at: int


class RecordOpens(Message, frozen=True):
    """api -> writer: hits of open pixels, repeated until acknowledged."""

    reply_to: str
    epoch: int
    seq: int
    opens: tuple[Opened, ...]


class OpensRecorded(Message, frozen=True):
    """writer -> api: the opens of this number are committed."""

    epoch: int
    seq: int


class AccountHold(Part, frozen=True):
    """Trouble of the account: the queue waits, no mail fails.

    `reason` is quota | sending_paused | suspended | credentials | not_verified |
    configuration | unknowns | unreachable. `probe_at` is when one call is tried again.
    """

    reason: str
    detail: str
    since: int
    probe_at: int


class AccountState(Part, frozen=True):
    """What is known of the SES account; None where GetAccount has not answered."""

    rate: float
    rate_source: str  # setting | account | api | fallback
    max_rate: float | None = None
    quota: float | None = None
    quota_left: int | None = None
    sent_24h: int = 0
    read_at: int | None = None
    sandbox: bool | None = None
    sending_enabled: bool | None = None
    enforcement: str = ""
    read_error: str = ""
    hold: AccountHold | None = None


class Reputation(Part, frozen=True):
    """Mails by time of sending, and those of them that bounced for good or led to a complaint.

    Counted as SES counts: mail to its mailbox simulator and addresses that the account's own list
    held back are left out.
    """

    sent: int = 0
    bounced: int = 0
    complained: int = 0


class BulkPause(Part, frozen=True):
    """Bulk mail waits since then because of its bounces or complaints; urgent mail goes on."""

    reason: str
    since: int


class WriterState(Message, frozen=True):
    """writer -> api: a level, every half second; `storing` is /ready's answer.

    `sent` counts mails of the last day older than UNKNOWN_AFTER, `heard` those that had an event;
    `proven_since` is since when that has been enough to prove that events arrive. `rate_wanted`
    is the rate set by an order.
    """

    epoch: int
    seq: int
    storing: bool
    trouble: str
    account: AccountState
    unknown_held: int = 0
    bulk_refused: str = ""
    sent: int = 0
    heard: int = 0
    proven_since: int | None = None
    rate_wanted: float | None = None
    bulk_pause: BulkPause | None = None
    day: Reputation = Reputation()
    week: Reputation = Reputation()


# ── writer → scheduler, broker: digests (levels: whole, numbered, repeated, newest wins) ──


class TopicWork(Part, frozen=True):
    """A topic that has mail waiting, and when the first of it is due."""

    topic: int
    urgent: bool
    next_due: int


class WorkDigest(Message, frozen=True):
    """writer -> scheduler: every topic with mail due within two seconds, twice a second.

    In between, what has just changed is told by itself: then `whole` is False and all else stands.
    `next_due` is the soonest due time beyond the list. While `held_until` (monotonic) lies ahead
    nothing is claimed; then, if `probing`, one job only.
    """

    epoch: int
    seq: int
    topics: tuple[TopicWork, ...]
    next_due: int | None
    held_until: float = 0.0
    probing: bool = False
    whole: bool = True


class RateDigest(Message, frozen=True):
    """writer -> broker: the rate that the settings and the account allow, in recipients/s."""

    epoch: int
    seq: int
    rate: float


# ── scheduler ⇄ writer, sender: claims and jobs ──


class Claim(Part, frozen=True):
    """Lease up to `jobs` x `size` recipients of one topic to one sender.

    Small messages may make more and smaller jobs of them, up to four times as many.
    """

    claim: int
    sender: str
    sender_epoch: int
    topic: int
    urgent: bool
    jobs: int
    size: int


class ClaimWork(Message, frozen=True):
    """scheduler -> writer: claims; a repeat of a claim id gets the same jobs."""

    epoch: int
    claims: tuple[Claim, ...]


class Addressee(Part, frozen=True):
    """One recipient of a job; `attempt` counts the calls made for it, this one included."""

    recipient: RecipientId
    email: str
    attempt: int = 1


class Job(Part, frozen=True):
    """One SES call: one content, its headers, and its recipients, leased to one sender."""

    job: JobId
    topic: int
    urgent: bool
    content: ContentId
    addressees: tuple[Addressee, ...]
    headers: Headers = ()


class Claimed(Part, frozen=True):
    """What a claim took; `next_due` is what the topic has left, None for nothing."""

    claim: int
    jobs: tuple[Job, ...]
    next_due: int | None


class WorkClaimed(Message, frozen=True):
    """writer -> scheduler: committed leases, claim by claim."""

    epoch: int
    claimed: tuple[Claimed, ...]


class Assign(Message, frozen=True):
    """scheduler -> sender: jobs leased to this epoch of it."""

    sender_epoch: int
    jobs: tuple[Job, ...]


class Room(Message, frozen=True):
    """sender -> scheduler: a level; `jobs` is what fits in all, `held` what is in hand now.

    Both count calls in the air as well as jobs that wait; a job has at most `size` recipients.
    `urgent` is how many jobs wait that are urgent.
    """

    sender: str
    epoch: int
    seq: int
    jobs: int
    size: int
    held: int
    draining: bool = False
    urgent: int = 0


# ── sender ⇄ writer: lease, gate, outcome, content ──


class Hello(Message, frozen=True):
    """sender -> writer: a new epoch began and its journal is replayed; former leases are void.

    `started` are the jobs whose call the former process had begun and not seen end; any other was
    surely never sent. None: there is no journal to tell.
    """

    sender: str
    epoch: int
    started: tuple[JobId, ...] | None = None


class Welcome(Message, frozen=True):
    """writer -> sender: the former leases are settled; `install` goes into every mid."""

    epoch: int
    install: str
    pixel_secret: bytes


class Holding(Message, frozen=True):
    """sender -> writer: a level; the jobs in hand. Older leases not among them go back."""

    sender: str
    epoch: int
    jobs: tuple[JobId, ...]


class AskContent(Message, frozen=True):
    """sender -> writer: send these contents; repeated until they came."""

    sender: str
    epoch: int
    contents: tuple[ContentId, ...]


class Content(Message, frozen=True):
    """writer -> sender: a subject and its HTML."""

    content: ContentId
    subject: str
    html: str


class AskGate(Message, frozen=True):
    """sender -> writer: may these jobs be sent? Repeated until answered, renewed when stale."""

    sender: str
    epoch: int
    jobs: tuple[JobId, ...]


class Gate(Part, frozen=True):
    """The committed permission to call SES once for these recipients; none: the job is gone."""

    job: JobId
    recipients: tuple[RecipientId, ...]


class GateOpened(Message, frozen=True):
    """writer -> sender: the attempts are recorded; good for one call each within one second."""

    epoch: int
    gates: tuple[Gate, ...]


class Answer(Part, frozen=True):
    """What SES answered for one recipient; `at` is when, `code` and `detail` are SES's words."""

    recipient: RecipientId
    verdict: Verdict
    at: int
    message_id: str = ""
    code: str = ""
    detail: str = ""


class Outcome(Part, frozen=True):
    """What became of one job. Recipients not among the answers go back as not sent."""

    job: JobId
    answers: tuple[Answer, ...]


class RecordOutcomes(Message, frozen=True):
    """sender -> writer: outcomes, repeated under the same number until acknowledged."""

    sender: str
    epoch: int
    seq: int
    outcomes: tuple[Outcome, ...]


class OutcomesRecorded(Message, frozen=True):
    """writer -> sender: the outcomes of these numbers are committed."""

    epoch: int
    seqs: tuple[int, ...]


class AccountRead(Message, frozen=True):
    """sender -> writer: what GetAccount answered, or the error it ended with."""

    sender: str
    at: int
    max_rate: float | None = None
    quota: float | None = None
    sent_24h: float = 0.0
    sending_enabled: bool = True
    sandbox: bool = False
    enforcement: str = ""
    error: str = ""


class BulkRefused(Message, frozen=True):
    """sender -> writer: SES refused SendBulkEmail as such; the single lane goes on."""

    sender: str
    reason: str


# ── sender ⇄ broker: permits ──


class Ask(Part, frozen=True):
    """A wish to start one call for `recipients`; the number is new for every permit wanted."""

    ask: int
    recipients: int


class Demand(Message, frozen=True):
    """sender -> broker: a level; every permit wanted now, in order, urgent first.

    `unused` are asks whose permit came too late or was not needed, so that it counts as free.
    """

    sender: str
    epoch: int
    seq: int
    urgent: tuple[Ask, ...]
    bulk: tuple[Ask, ...]
    unused: tuple[int, ...] = ()


class Permit(Part, frozen=True):
    """The right to start one call at `not_before` and at most a few milliseconds later."""

    ask: int
    not_before: float


class Permits(Message, frozen=True):
    """broker -> sender: permits for asks of this epoch; `rate` is R in force, throttles included.

    `chunk` is how many recipients a call may have at most at this rate.
    """

    sender_epoch: int
    permits: tuple[Permit, ...]
    rate: float
    chunk: int


class Throttled(Message, frozen=True):
    """sender -> broker: SES answered that the rate was exceeded."""

    sender: str
    epoch: int
    seq: int
    recipients: int


# ── api, results, writer, sender: what SNS posts ──


class CheckPost(Message, frozen=True):
    """api -> results: an SNS post, raw, as it came in."""

    reply_to: str
    post: str
    message_type: str
    body: bytes


class PostChecked(Message, frozen=True):
    """results -> api: the HTTP status for SNS and, for a refusal, one sentence."""

    post: str
    status: int
    reason: str = ""


class EarOpen(Message, frozen=True):
    """api -> results, results -> writer: the webhook is up; absence of events means something."""

    epoch: int


class Event(Part, frozen=True):
    """One thing SES says of one recipient.

    `recipient` comes from our `mid` tag, None without one; then `message_id` finds it.
    `at` is the event's own time, `sent_at` when SES took the mail; `attempt` is the `att` tag.
    """

    kind: Feedback
    email: str
    message_id: str
    at: int
    sent_at: int
    recipient: RecipientId | None = None
    attempt: int = 0
    subtype: str = ""
    detail: str = ""


class EventPost(Part, frozen=True):
    """The events of one verified post; `note` keeps a verified text that holds no event."""

    post: str
    sns_id: str
    events: tuple[Event, ...]
    note: str = ""


class RecordEvents(Message, frozen=True):
    """results -> writer: verified posts; a repeat counts nothing twice."""

    epoch: int
    posts: tuple[EventPost, ...]


class EventsRecorded(Message, frozen=True):
    """writer -> results: these posts are committed."""

    epoch: int
    posts: tuple[str, ...]


class EventsNotRecorded(Message, frozen=True):
    """writer -> results: these posts could not be committed now; SNS shall try again."""

    epoch: int
    posts: tuple[str, ...]
    code: str


class ConfirmTopic(Message, frozen=True):
    """results -> sender: confirm this subscription with SNS, by the API, never by a URL."""

    post: str
    topic_arn: str
    token: str


class TopicConfirmed(Message, frozen=True):
    """sender -> results: SNS answered; `error` is empty when it confirmed."""

    post: str
    error: str = ""


# ── everyone → monitor → api ──


class Report(Message, frozen=True):
    """* -> monitor: a level, once a second: that this process lives, and its gauges.

    `errors` are the newest error lines (addresses masked); `mailbox` the frames read per second.
    """

    actor: str
    process: str
    pid: int
    epoch: int
    at: int
    gauges: dict[str, float]
    notes: dict[str, str]
    errors: tuple[str, ...] = ()


class Snapshot(Message, frozen=True):
    """monitor -> api: the newest JSON snapshot, as published on the stats socket."""

    json: bytes


Order: TypeAlias = (
    CancelTopic
    | PauseTopic
    | ResumeTopic
    | RescheduleTopic
    | RetryFailed
    | CancelMail
    | ResolveMail
    | SetRate
    | ResumeBulk
    | Suppress
    | Unsuppress
)
"""What a caller orders: answered by number, so that a repeat changes nothing."""

Ordered: TypeAlias = TopicCancelled | OrderDone | OrderRefused
OrderAnswer: TypeAlias = Ordered | OrderFailed

ToWriter: TypeAlias = (
    CancelTopic
    | PauseTopic
    | ResumeTopic
    | RescheduleTopic
    | RetryFailed
    | CancelMail
    | ResolveMail
    | SetRate
    | ResumeBulk
    | RecordOpens
    | ClaimWork
    | Hello
    | Holding
    | AskContent
    | AskGate
    | RecordOutcomes
    | AccountRead
    | BulkRefused
    | RecordEvents
    | EarOpen
)
ToIntake: TypeAlias = Submit | LookUp | Suppress | Unsuppress
ToApi: TypeAlias = (
    Stored
    | NotStored
    | TopicCancelled
    | OrderDone
    | OrderRefused
    | OrderFailed
    | ReleasedAtSes
    | OpensRecorded
    | WriterState
    | PostChecked
    | Snapshot
)
ToScheduler: TypeAlias = WorkDigest | WorkClaimed | Room
ToBroker: TypeAlias = RateDigest | Demand | Throttled
ToSender: TypeAlias = (
    Assign
    | Welcome
    | Content
    | GateOpened
    | OutcomesRecorded
    | Permits
    | ConfirmTopic
    | ReleaseAtSes
)
ToResults: TypeAlias = CheckPost | EarOpen | EventsRecorded | EventsNotRecorded | TopicConfirmed
ToMonitor: TypeAlias = Report

INBOXES: dict[str, object] = {
    "writer": ToWriter,
    "intake": ToIntake,
    "api": ToApi,
    "scheduler": ToScheduler,
    "broker": ToBroker,
    "sender": ToSender,
    "results": ToResults,
    "monitor": ToMonitor,
}
"""Which messages each mailbox takes. A sender's mailbox is named sender-0, sender-1, …"""
