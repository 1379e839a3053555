"""Dialogues with a sender: it hears, it says, nothing else happens."""

import pytest

from services.sender.reply import Entry, NoReply, Reply
from shared.domain import ContentId, JobId, RecipientId, Verdict
from shared.protocol import (
    AccountRead,
    Answer,
    AskContent,
    AskGate,
    Assign,
    BulkRefused,
    ConfirmTopic,
    Content,
    Demand,
    Gate,
    GateOpened,
    Hello,
    Holding,
    Outcome,
    OutcomesRecorded,
    Permits,
    RecordOutcomes,
    Room,
    Throttled,
    TopicConfirmed,
    Welcome,
)

EPOCH = 77


class TestLife:
    def test_it_says_hello_until_it_is_welcome_and_nothing_else(self, make_talk, of):
        talk = make_talk(welcomed=False)
        said = talk.settle() + talk.wait(1.2)
        assert said == [Hello("sender-0", EPOCH)] * 3
        said = talk.hear(Welcome(EPOCH, "abc", b"secret"))
        assert of(Room, said) == [Room("sender-0", EPOCH, 1, 1, 1, 0)]
        assert of(Holding, said) == [Holding("sender-0", EPOCH, ())]
        assert of(Hello, talk.wait(2)) == []

    def test_it_reports_what_the_journal_holds_before_it_says_hello(self, make_talk, of):
        old = Outcome(JobId(1), (Answer(RecipientId(1), Verdict.ACCEPTED, 5, "m"),))
        talk = make_talk(welcomed=False, replayed=[old])
        said = talk.settle() + talk.wait(2.5)
        assert said == [RecordOutcomes("sender-0", EPOCH, 1, (old,))] * 3
        assert of(Hello, talk.hear(OutcomesRecorded(EPOCH, (1,)))) != []

    def test_it_wakes_for_its_next_word(self, make_talk):
        old = Outcome(JobId(1), ())
        talk = make_talk(welcomed=False, replayed=[old])
        talk.settle()
        assert talk.sender.next_tick(talk.now) == talk.mono + 1.0
        talk.acknowledge()
        assert talk.sender.next_tick(talk.now) == talk.mono + 0.5
        talk.mono += 0.5
        assert list(talk.sender.tick(talk.now)) != []

    def test_the_welcome_of_another_epoch_is_not_for_it(self, make_talk, of):
        talk = make_talk(welcomed=False)
        assert of(Room, talk.hear(Welcome(EPOCH - 1, "abc", b"secret"))) == []

    def test_jobs_of_another_epoch_are_not_taken(self, talk, of):
        talk.hear(Assign(EPOCH - 1, (talk.job(1),)))
        assert of(Holding, talk.wait(1.1))[-1].jobs == ()


class TestLevels:
    def test_room_is_said_three_times_a_second_and_on_change(self, talk, of):
        idle = of(Room, talk.wait(3))
        assert 9 <= len(idle) <= 11
        assert [one.seq for one in idle] == list(range(idle[0].seq, idle[0].seq + len(idle)))
        changed = of(Room, talk.assign(talk.job(1)) + talk.wait(0.03))
        assert [(one.jobs, one.held) for one in changed] == [(1, 1)]

    def test_room_is_what_waits_and_what_is_in_the_air(self, talk, of):
        talk.fire(talk.job(1))
        talk.assign(talk.job(2))
        room = of(Room, talk.wait(0.5))[-1]
        assert (room.jobs, room.held) == (1 + 6, 2)

    def test_room_follows_the_rate_and_the_lane(self, talk, of):
        talk.permits(rate=500.0, chunk=6)
        room = of(Room, talk.wait(0.1))[-1]
        assert (room.jobs, room.size) == (21, 6)

    def test_what_is_held_is_said_every_second_with_what_is_not_acknowledged(self, talk, of):
        call = talk.fire(talk.job(1))
        talk.assign(talk.job(2, content=6))
        assert set(of(Holding, talk.wait(1.1))[-1].jobs) == {1, 2}
        talk.end(call)
        assert set(of(Holding, talk.wait(1.1))[-1].jobs) == {1, 2}
        talk.acknowledge()
        assert set(of(Holding, talk.wait(1.1))[-1].jobs) == {2}

    def test_what_getaccount_said_is_said_again(self, talk, of):
        found = AccountRead("sender-0", 5, max_rate=14.0)
        talk.sender.voice.account = found
        assert of(AccountRead, talk.wait(25)) == [found] * 3

    def test_no_level_is_said_in_vain_between_the_ticks(self, talk):
        talk.wait(1)
        assert talk.settle() == []
        assert talk.sender.next_tick(talk.now) > talk.mono


class TestContent:
    def test_a_missing_content_is_asked_for_before_the_gate(self, talk, of):
        said = talk.assign(talk.job(1))
        assert of(AskContent, said) == [AskContent("sender-0", EPOCH, (ContentId(5),))]
        assert of(AskGate, said) == []
        assert len(of(AskContent, talk.wait(1.1))) == 2
        assert of(AskGate, talk.content()) == [AskGate("sender-0", EPOCH, (JobId(1),))]

    def test_a_content_that_comes_after_its_job_went_back_asks_nothing(self, talk, of):
        talk.assign(talk.job(1))
        list(talk.sender.stop(talk.now))
        assert of(AskGate, talk.content()) == []

    def test_a_content_at_hand_is_not_asked_for(self, talk, of):
        talk.content()
        said = talk.assign(talk.job(1), talk.job(2))
        assert of(AskContent, said) == []
        assert of(AskGate, said) == [AskGate("sender-0", EPOCH, (JobId(1), JobId(2)))]


class TestGate:
    def test_a_lost_ask_is_repeated(self, talk, of):
        talk.content()
        talk.assign(talk.job(1))
        assert of(AskGate, talk.wait(0.45)) == []
        assert len(of(AskGate, talk.wait(0.1))) == 1

    def test_a_permit_is_asked_for_when_the_gate_is_open(self, talk, of):
        talk.content()
        job = talk.job(1)
        assert of(Demand, talk.assign(job)) == []
        (demand,) = of(Demand, talk.open(job))
        assert [ask.recipients for ask in demand.bulk] == [1]

    def test_a_stale_gate_is_renewed_and_the_permit_used(self, talk, of):
        job = talk.job(1)
        talk.ready(job)
        said = talk.wait(0.65)
        assert of(AskGate, said) == [AskGate("sender-0", EPOCH, (JobId(1),))]
        talk.open(job)
        talk.wait(0.5)
        talk.permits((talk.asks()[-1][0], talk.mono))
        assert talk.call() is not None

    def test_a_permit_under_a_stale_gate_is_unused(self, talk):
        job = talk.job(1)
        talk.ready(job)
        ((ask, _),) = talk.asks()
        talk.mono += 1.01
        talk.permits((ask, talk.mono))
        assert talk.call() is None
        talk.wait(0.02)
        assert talk.unused() == (ask,)

    def test_after_its_renewal_a_stale_gate_gets_a_new_ask(self, talk):
        job = talk.job(1)
        talk.ready(job)
        ((ask, _),) = talk.asks()
        talk.mono += 1.01
        talk.permits((ask, talk.mono))
        assert talk.call() is None
        talk.wait(0.06)
        talk.open(job)
        talk.wait(0.02)
        ((again, _),) = talk.asks()
        assert again > ask
        talk.permits((again, talk.mono))
        assert talk.call() is not None

    def test_a_job_of_which_nobody_may_go_is_let_go(self, talk, of):
        job = talk.job(1)
        talk.ready(job)
        ((ask, _),) = talk.asks()
        talk.hear(GateOpened(EPOCH, (Gate(job.job, ()),)))
        talk.wait(0.05)
        assert talk.outcomes() == [Outcome(job.job, ())]
        assert talk.asks() == []
        assert talk.unused() == (ask,)

    def test_only_those_named_by_the_gate_are_called_for(self, make_talk):
        talk = make_talk(lane="bulk")
        job = talk.job(1, 3)
        talk.permits(rate=500.0, chunk=6)
        talk.content()
        talk.assign(job)
        named = (job.addressees[2].recipient, job.addressees[0].recipient)
        talk.hear(GateOpened(EPOCH, (Gate(job.job, named),)))
        assert [count for _, count in talk.asks()] == [2]
        talk.permits((talk.asks()[0][0], talk.mono), rate=500.0, chunk=6)
        assert talk.call().addressees == (job.addressees[0], job.addressees[2])

    def test_a_writer_that_never_answers_gets_the_job_back(self, talk):
        talk.content()
        talk.assign(talk.job(1))
        talk.wait(1.2)
        assert talk.outcomes() == [Outcome(JobId(1), ())]

    def test_a_gate_for_another_epoch_opens_nothing(self, talk):
        talk.content()
        job = talk.job(1)
        talk.assign(job)
        said = talk.hear(GateOpened(EPOCH - 1, (Gate(job.job, (RecipientId(100),)),)))
        assert said == []

    def test_a_gate_for_an_unknown_job_does_nothing(self, talk):
        assert talk.hear(GateOpened(EPOCH, (Gate(JobId(9), (RecipientId(1),)),))) == []


class TestPermit:
    def test_no_call_starts_before_its_time(self, talk):
        talk.ready(talk.job(1))
        ((ask, _),) = talk.asks()
        talk.permits((ask, talk.mono + 0.03))
        assert talk.call() is None
        assert talk.sender.next_tick(talk.now) <= talk.mono + 0.032
        talk.mono += 0.03
        assert talk.call().job.job == 1

    def test_a_late_permit_is_void_and_asked_for_anew_under_the_same_gate(self, talk):
        talk.ready(talk.job(1))
        ((ask, _),) = talk.asks()
        talk.permits((ask, talk.mono))
        talk.mono += 0.0121
        assert talk.call() is None
        talk.wait(0.02)
        ((again, _),) = talk.asks()
        assert again != ask
        assert talk.unused() == (ask,)
        talk.permits((again, talk.mono))
        assert talk.call() is not None

    def test_a_call_that_was_not_made_in_its_time_wants_another_permit(self, talk):
        talk.ready(talk.job(1))
        ((ask, _),) = talk.asks()
        talk.permits((ask, talk.mono))
        call = talk.call()
        assert call.start_by - talk.mono == pytest.approx(0.012)
        talk.sender.withhold(call, talk.now)
        talk.wait(0.02)
        ((again, _),) = talk.asks()
        assert again != ask
        assert talk.unused() == (ask,)
        talk.permits((again, talk.mono))
        assert talk.call().job.job == 1

    def test_a_lost_permit_heals_by_a_new_ask(self, talk):
        job = talk.job(1)
        talk.ready(job)
        ((ask, _),) = talk.asks()
        talk.wait(1.1, gate=[job])
        ((again, _),) = talk.asks()
        assert again > ask
        assert talk.unused() == (ask,)
        talk.permits((again, talk.mono))
        assert talk.call() is not None

    def test_permits_of_another_epoch_start_nothing(self, talk):
        talk.ready(talk.job(1))
        ((ask, _),) = talk.asks()
        talk.hear(Permits(EPOCH - 1, ((ask, talk.mono),), 24.0, 1))
        assert talk.call() is None

    def test_at_most_its_share_of_2_r_calls_are_in_the_air(self, make_talk):
        talk = make_talk(workers=2)
        jobs = [talk.job(number) for number in range(1, 9)]
        talk.ready(*jobs, rate=3.0)
        assert len(talk.asks()) == 3
        talk.permits(*((ask, talk.mono) for ask, _ in talk.asks()), rate=3.0)
        calls = [talk.call() for _ in range(4)]
        assert calls[3] is None
        talk.wait(0.05)
        assert talk.asks() == []
        talk.end(calls[0])
        talk.wait(0.05)
        assert len(talk.asks()) == 1

    def test_a_rate_that_fell_lets_no_further_call_start(self, talk):
        talk.ready(talk.job(1), talk.job(2), talk.job(3), talk.job(4), rate=24.0)
        talk.permits(*((ask, talk.mono) for ask, _ in talk.asks()), rate=1.0)
        assert [talk.call() is None for _ in range(4)] == [False, False, True, True]

    def test_urgent_mail_is_asked_for_first(self, talk):
        talk.ready(talk.job(1), talk.job(2, urgent=True))
        newest = [one.message for one in talk.said if isinstance(one.message, Demand)][-1]
        assert [len(newest.urgent), len(newest.bulk)] == [1, 1]

    def test_urgent_mail_leaves_though_every_bulk_call_hangs(self, talk):
        bulk = [talk.job(number) for number in range(1, 9)]
        talk.ready(*bulk, rate=2.0)
        talk.permits(*((ask, talk.mono) for ask, _ in talk.asks()), rate=2.0)
        flying = []
        while (call := talk.call()) is not None:
            flying.append(call)
        assert len(flying) == 3
        urgent = talk.job(20, urgent=True)
        talk.assign(urgent)
        talk.open(urgent)
        talk.wait(0.02)
        ((ask, _),) = talk.asks()
        talk.permits((ask, talk.mono), rate=2.0)
        assert talk.call().job == urgent
        assert talk.call() is None

    def test_room_says_how_many_urgent_jobs_wait(self, talk, of):
        jobs = [talk.job(1), talk.job(2, urgent=True), talk.job(3, urgent=True)]
        talk.ready(*jobs)
        assert of(Room, talk.wait(0.4))[-1].urgent == 2
        (ask, _), *_ = talk.asks()
        talk.permits((ask, talk.mono))
        call = talk.call()
        assert call.job.urgent
        assert of(Room, talk.wait(0.4))[-1].urgent == 1
        talk.end(call)
        talk.hear(GateOpened(EPOCH, (Gate(JobId(3), ()),)))
        assert of(Room, talk.wait(0.4))[-1].urgent == 0

    def test_an_urgent_call_that_was_not_made_waits_again(self, talk, of):
        talk.ready(talk.job(1, urgent=True))
        ((ask, _),) = talk.asks()
        talk.permits((ask, talk.mono))
        talk.sender.withhold(talk.call(), talk.now)
        assert of(Room, talk.wait(0.4))[-1].urgent == 1


class TestCall:
    def test_the_answer_is_for_the_journal_and_the_writer(self, talk):
        job = talk.job(1)
        talk.end(talk.fire(job))
        answer = Answer(job.addressees[0].recipient, Verdict.ACCEPTED, talk.now.ms, "m1")
        assert talk.sender.unwritten == [Outcome(job.job, (answer,))]
        assert talk.outcomes() == [Outcome(job.job, (answer,))]

    def test_an_outcome_is_said_every_second_until_acknowledged(self, talk, of):
        talk.end(talk.fire(talk.job(1)))
        assert len(of(RecordOutcomes, talk.wait(3.1))) == 3
        talk.acknowledge()
        assert of(RecordOutcomes, talk.wait(3)) == []

    def test_a_repeated_assign_never_leads_to_a_second_call(self, talk, of):
        job = talk.job(1)
        call = talk.fire(job)
        assert of(AskGate, talk.assign(job) + talk.wait(0.7)) == []
        talk.end(call)
        assert of(AskGate, talk.assign(job) + talk.wait(0.7)) == []
        assert of(AskGate, talk.open(job)) == []

    def test_a_throttled_call_is_told_to_the_broker(self, talk, of):
        slow = Reply(429, "TooManyRequestsException", "Maximum sending rate exceeded.")
        said = talk.end(talk.fire(talk.job(1)), slow)
        assert of(Throttled, said) == [Throttled("sender-0", EPOCH, 1, 1)]
        said = talk.end(talk.fire(talk.job(2)), slow)
        assert of(Throttled, said) == [Throttled("sender-0", EPOCH, 2, 1)]

    def test_our_own_from_is_told_from_a_sandbox_recipient(self, talk):
        text = (
            "Email address is not verified. The following identities failed the check in region X: "
        )
        talk.end(talk.fire(talk.job(1)), Reply(400, "MessageRejected", text + "news@shop.example"))
        talk.wait(0.1)
        talk.end(talk.fire(talk.job(2)), Reply(400, "MessageRejected", text + "2-0@dest.example"))
        talk.wait(0.1)
        assert [
            (one.verdict, one.code) for outcome in talk.outcomes() for one in outcome.answers
        ] == [
            (Verdict.ACCOUNT, "not_verified"),
            (Verdict.PERMANENT, "MessageRejected"),
        ]

    def test_what_was_lost_on_the_way_is_unknown(self, talk):
        talk.end(talk.fire(talk.job(1)), NoReply(left=True, detail="reset"))
        assert talk.outcomes()[0].answers[0].verdict is Verdict.UNKNOWN


class TestBulk:
    def bulk_call(self, talk, number=1, recipients=3):
        talk.ready(talk.job(number, recipients), rate=500.0, chunk=6)
        (ask, self.asked) = talk.asks()[-1]
        talk.permits((ask, talk.mono), rate=500.0, chunk=6)
        return talk.call()

    def test_each_recipient_gets_its_own_verdict(self, talk):
        call = self.bulk_call(talk)
        assert call.is_bulk
        entries = (Entry("SUCCESS", "", "m1"), Entry("FAILED"), Entry("MESSAGE_REJECTED"))
        talk.end(call, Reply(200, entries=entries))
        assert [one.verdict for one in talk.outcomes()[0].answers] == [
            Verdict.ACCEPTED,
            Verdict.FOR_NOW,
            Verdict.PERMANENT,
        ]

    def test_a_refusal_of_bulk_fails_nobody_and_turns_to_the_single_lane(self, talk, of):
        call = self.bulk_call(talk)
        said = talk.end(call, Reply(403, "AccessDeniedException", "ses:SendBulkEmail"))
        assert talk.outcomes() == [Outcome(call.job.job, ())]
        refused = BulkRefused("sender-0", "AccessDeniedException: ses:SendBulkEmail")
        assert of(BulkRefused, said) == [refused]
        assert of(Room, talk.wait(0.1))[-1].size == 1
        assert of(BulkRefused, talk.wait(61)) == [refused]

    def test_a_refused_content_goes_alone_and_the_rest_of_its_job_goes_back(self, talk, of):
        talk.end(self.bulk_call(talk), Reply(400, "BadRequestException", "unsupported"))
        assert talk.outcomes()[0].answers == ()
        talk.wait(0.1)
        call = self.bulk_call(talk, number=2)
        assert not call.is_bulk
        assert len(call.addressees) == 1
        assert self.asked == 1
        talk.end(call, Reply(400, "BadRequestException", "bad address"))
        talk.wait(0.1)
        assert [one.verdict for one in talk.outcomes()[1].answers] == [Verdict.PERMANENT]
        assert of(Room, talk.wait(0.4))[-1].size == 6

    def test_a_permit_for_one_never_starts_a_call_for_many(self, talk):
        slow = Reply(400, "ThrottlingException", "Rate exceeded")
        talk.end(self.bulk_call(talk), slow)
        talk.mono += 599.9
        talk.ready(talk.job(2, 3), rate=500.0, chunk=6)
        (ask, count) = talk.asks()[-1]
        assert count == 1
        talk.mono += 0.2
        talk.permits((ask, talk.mono), rate=500.0, chunk=6)
        assert talk.call() is None
        talk.wait(0.02)
        assert talk.asks()[-1][1] == 3
        assert ask in talk.unused()

    def test_what_turns_out_too_large_goes_alone_under_the_same_permit(self, talk):
        call = talk.sender.too_large(self.bulk_call(talk))
        assert (call.is_bulk, len(call.addressees)) == (False, 1)
        talk.end(call)
        assert len(talk.outcomes()[0].answers) == 1

    def test_a_job_too_big_for_a_fallen_rate_is_cut_down(self, make_talk):
        talk = make_talk(lane="bulk")
        job = talk.job(1, 6)
        talk.ready(job, rate=500.0, chunk=6)
        ((_, count),) = talk.asks()
        assert count == 6
        talk.permits(rate=80.0)
        talk.wait(0.02, gate=[job])
        ((ask, count),) = talk.asks()
        assert count == 2
        talk.permits((ask, talk.mono), rate=80.0)
        assert len(talk.call().addressees) == 2


class TestEnd:
    def test_what_waits_is_given_back_and_what_flies_comes_down(self, talk, of):
        flying = talk.fire(talk.job(1))
        talk.ready(talk.job(2))
        talk.assign(talk.job(3, content=6))
        said = list(talk.sender.stop(talk.now))
        talk.said += said
        talk.wait(0.05)
        assert talk.outcomes() == [
            Outcome(JobId(2), ()),
            Outcome(JobId(3), ()),
        ]
        assert [(one.jobs, one.draining) for one in of(Room, talk.wait(0.5))][-1] == (1, True)
        assert talk.asks() == []
        assert not talk.sender.is_drained(talk.now)
        talk.end(flying)
        assert not talk.sender.is_drained(talk.now)
        talk.wait(0.1)
        talk.acknowledge()
        assert talk.sender.is_drained(talk.now)

    def test_no_call_starts_after_the_stop(self, talk):
        talk.ready(talk.job(1))
        ((ask, _),) = talk.asks()
        talk.permits((ask, talk.mono + 0.01))
        talk.said += list(talk.sender.stop(talk.now))
        talk.mono += 0.01
        assert talk.call() is None
        talk.settle()
        assert ask in talk.unused()

    def test_jobs_that_come_after_the_stop_go_back_at_once(self, talk):
        list(talk.sender.stop(talk.now))
        talk.assign(talk.job(1))
        assert talk.outcomes() == [Outcome(JobId(1), ())]

    def test_a_writer_that_is_gone_holds_the_end_up_for_20_seconds(self, talk):
        talk.end(talk.fire(talk.job(1)))
        list(talk.sender.stop(talk.now))
        talk.wait(19.9, step=0.1)
        assert not talk.sender.is_drained(talk.now)
        talk.wait(0.2)
        assert talk.sender.is_drained(talk.now)

    def test_a_sender_that_was_not_stopped_is_not_drained(self, talk):
        assert not talk.sender.is_drained(talk.now)


class TestHalt:
    def test_while_halted_no_call_starts_and_no_work_is_wanted(self, talk, of):
        talk.ready(talk.job(1))
        ((ask, _),) = talk.asks()
        talk.permits((ask, talk.mono + 0.01))
        talk.sender.halted = "the journal cannot be written"
        talk.mono += 0.01
        assert talk.call() is None
        said = talk.wait(0.4)
        assert talk.asks() == []
        assert of(Room, said)[-1].jobs == 0
        assert "journal" in talk.sender.notes()["halted"]

    def test_afterwards_the_same_job_goes_on(self, talk):
        job = talk.job(1)
        talk.ready(job)
        talk.sender.halted = "full"
        talk.wait(3, gate=[job])
        talk.sender.halted = ""
        talk.wait(0.3, gate=[job])
        talk.permits((talk.asks()[0][0], talk.mono))
        assert talk.call() is not None


def test_a_confirmation_is_kept_for_the_process_to_do(talk):
    message = ConfirmTopic("p", "arn:aws:sns:eu-west-1:1:t", "tok")
    talk.hear(message)
    assert list(talk.sender.confirmations) == [message]


@pytest.mark.parametrize("message", [TopicConfirmed("p"), Content(ContentId(1), "s", "h")])
def test_a_message_that_is_not_for_it_is_a_fault_or_taken(talk, message):
    if isinstance(message, TopicConfirmed):
        with pytest.raises(KeyError):
            talk.hear(message)
    else:
        assert talk.hear(message) == []


def test_gauges_show_what_is_held_and_what_came_back(talk):
    talk.end(talk.fire(talk.job(1)))
    talk.wait(0.1)
    flying = talk.fire(talk.job(2))
    gauges = talk.sender.gauges(talk.now)
    assert gauges["in_air"] == 1
    assert gauges["held"] == 1
    assert gauges["unacknowledged"] == 1
    assert gauges["verdict_accepted"] == 1
    assert gauges["permit_late_p99_ms"] < 1
    assert gauges["gate_p50_ms"] <= gauges["gate_p99_ms"] < 1
    talk.mono += 1
    talk.end(flying)
    assert talk.sender.gauges(talk.now)["sent_per_s"] == pytest.approx(1)
