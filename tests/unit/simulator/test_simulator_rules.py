"""The simulator's rules, each alone: template, addresses, fate, rate, quota, retries, faults."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.simulator import limits, retry, template
from services.simulator.account import Account, AccountSwitches
from services.simulator.errors import RefusalError
from services.simulator.faults import Faults, Match, Rule, Script
from services.simulator.ledger import Ledger, Line, Window
from services.simulator.parcels import Report, RetryPolicy, Unframer, for_courier, frame
from services.simulator.shapes import Header, Tag, TemplateContent
from services.simulator.verdict import Fate, Oracle, is_mailbox_simulator, share_of

SECOND = 1_000_000_000


def rendered(html, data):
    parsed = template.parse(TemplateContent(subject="s", html=html))
    return template.render(parsed, data).html


@given(st.text(), st.text(), st.text())
def test_a_value_comes_out_as_it_went_in(before, value, after):
    source = before.replace("{", "") + "{{v}}" + after.replace("{", "")
    assert rendered(source, {"v": value}) == before.replace("{", "") + value + after.replace(
        "{", ""
    )


def test_numbers_null_and_objects_are_written_as_json_words():
    assert rendered("{{a}} {{b}} {{c}}", {"a": 1.5, "b": None, "c": [True]}) == "1.5  [true]"


def test_sess_own_variables_stay():
    assert rendered("x{{ses:openTracker}}{{a}}", {"a": "1"}) == "x{{ses:openTracker}}1"


@pytest.mark.parametrize(
    "source",
    ["{{#if a}}", "{{/if}}", "{{{a}}}", "{{a.b}}", "{{> p}}", "{{else}}", "{{a_b}}", "{{}}", "{{a"],
)
def test_what_an_inline_template_cannot_do(source):
    with pytest.raises(RefusalError) as caught:
        rendered(source, {"a": ""})
    assert caught.value.code == "BadRequestException"


def test_data_is_merged_key_by_key_and_objects_recursively():
    shared = {"a": 1, "o": {"x": 1, "y": [1]}}
    assert template.merged(shared, {"o": {"y": [2]}, "b": 3}) == {
        "a": 1,
        "o": {"x": 1, "y": [2]},
        "b": 3,
    }
    assert shared == {"a": 1, "o": {"x": 1, "y": [1]}}


@pytest.mark.parametrize(
    "address",
    [
        "a@example.com",
        "Name <a@example.com>",
        '"A, B" <a+b@sub.example.co.kr>',
        "o'brien@example.com",
        '"odd local"@example.com',
        "a@xn--3e0b707e.kr",
    ],
)
def test_addresses_ses_takes(address):
    assert limits.address_problem(address) is None


@pytest.mark.parametrize(
    "address",
    ["", "a", "@b.com", "a@", "a@b@c.com", "a..b@c.com", ".a@b.com", "a@b..com", "a@b_c.com"],
)
def test_addresses_ses_refuses(address):
    assert limits.address_problem(address)


def test_limits_hold_at_their_edge():
    limits.check_headers([Header(f"X-{n}", "v") for n in range(15)])
    limits.check_headers([Header("X", "v" * 995)])
    limits.check_tags([Tag(f"t{n}", "x" * 256) for n in range(50)])
    for bad in ([Header("X", "")], [Header("X:", "v")], [Header("X", "v" * 996)]):
        with pytest.raises(RefusalError):
            limits.check_headers(bad)
    for tags in ([Tag("t", "x" * 257)], [Tag("", "x")], [Tag(f"t{n}", "x") for n in range(51)]):
        with pytest.raises(RefusalError):
            limits.check_tags(tags)


def test_fate_depends_on_the_address_and_the_seed_alone():
    oracle = Oracle("seed", 0.1, 0.1)
    addresses = [f"u{n}@example.com" for n in range(2000)]
    fates = [oracle.fate_of(address) for address in addresses]
    assert fates == [oracle.fate_of(address.upper()) for address in addresses]
    assert 140 <= fates.count(Fate.BOUNCE) <= 260
    assert 140 <= fates.count(Fate.COMPLAINT) <= 260
    assert fates != [Oracle("other", 0.1, 0.1).fate_of(address) for address in addresses]
    assert share_of("A@b.c", b"s") == share_of("a@b.c", b"s")


def test_the_mailbox_simulators_names():
    oracle = Oracle("seed", 1, 0)
    assert oracle.fate_of("Success+x@SIMULATOR.amazonses.com") is Fate.DELIVERY
    assert oracle.fate_of("complaint@simulator.amazonses.com") is Fate.COMPLAINT
    assert not is_mailbox_simulator("a@notsimulator.amazonses.com")
    assert not is_mailbox_simulator("a@b.simulator.amazonses.com")


def account(rate=10.0, burst=2.0, quota=100.0):
    return Account(rate, burst, quota, "eu-west-1")


def taken(one, now_ns, recipients=1):
    try:
        one.check_rate(now_ns)
    except RefusalError as refusal:
        return refusal.status != 429
    one.spend(recipients, recipients, now_ns)
    return True


def test_the_bucket_has_a_burst_then_the_rate():
    one = account()
    assert [taken(one, 0) for _ in range(3)] == [True, True, False]
    assert [taken(one, SECOND // 10), taken(one, SECOND // 10)] == [True, False]
    assert sum(taken(one, SECOND + n * SECOND // 100) for n in range(100)) in (11, 12)


def test_a_large_call_leaves_a_debt():
    one = account(rate=1, burst=1)
    assert taken(one, 0, recipients=5)
    assert not taken(one, 4 * SECOND - 1)
    assert taken(one, 4 * SECOND + 1)


def test_the_quota_rolls_over_a_day():
    one = account()
    one.spend(60, 60, 0)
    with pytest.raises(RefusalError) as caught:
        one.check_quota(41, SECOND)
    assert caught.value.message == "Daily message quota exceeded."
    one.check_quota(40, SECOND)
    assert one.sent(86_400 * SECOND - 1) == 60
    assert one.sent(86_400 * SECOND) == 0


def test_switches_set_what_was_sent_and_reset_takes_all_back():
    one = account()
    one.spend(10, 10, 0)
    one.set_switches(AccountSwitches(sent_24h=99, max_send_rate=5), 0)
    assert (one.sent(0), one.rate) == (99, 5)
    one.spend(1, 1, 0)
    assert one.left(0) == 0
    one.set_switches(AccountSwitches(), 0)
    assert (one.sent(0), one.rate) == (11, 10)
    one.set_switches(AccountSwitches(max_24h=-1), 0)
    assert one.left(0) == float("inf")
    one.set_switches(AccountSwitches(sent_24h=99), 0)
    one.clear()
    assert one.sent(0) == 0


def test_snss_default_is_three_retries_twenty_seconds_apart():
    policy = retry.policy_of(None, None)
    assert [retry.delay_s(policy, n) for n in (1, 2, 3, 4)] == [20, 20, 20, None]


def test_a_delivery_policy_has_its_phases():
    text = (
        '{"healthyRetryPolicy":{"numRetries":8,"numNoDelayRetries":1,"numMinDelayRetries":2,'
        '"minDelayTarget":5,"maxDelayTarget":25,"numMaxDelayRetries":2}}'
    )
    policy = retry.policy_of('{"http":{"defaultHealthyRetryPolicy":{"numRetries":1}}}', text)
    pauses = [retry.delay_s(policy, n) for n in range(1, 10)]
    assert pauses == [0, 5, 5, 5, 15, 25, 25, 25, None]


def test_the_topics_policy_holds_where_the_subscription_has_none():
    policy = retry.policy_of('{"http":{"defaultHealthyRetryPolicy":{"numRetries":1}}}', None)
    assert policy == RetryPolicy(retries=1)
    assert not retry.is_policy("[1]")
    assert not retry.is_policy('{"healthyRetryPolicy":{"numRetries":"many"}}')


def test_windows_are_half_open_and_count_recipients():
    window = Window()
    for at in (0, SECOND // 2, SECOND, 3 * SECOND // 2):
        window.add(at, 10)
    assert window.worst() == (20, SECOND // 2)
    window.add(3 * SECOND // 2 + 1, 15)
    assert window.worst()[0] == 35


def test_calls_that_are_read_out_of_turn_are_counted_by_their_arrival():
    window = Window()
    for at in (5, 14, 4, 24, 13):  # tenths of a second
        window.add(at * SECOND // 10, 1)
    assert window.worst() == (3, 13 * SECOND // 10)


def test_the_ledger_gives_rows_from_anywhere():
    ledger = Ledger()
    for call in range(6):
        lines = [Line("accepted", f"m{call}", None, "a", "i")] * 2
        ledger.record(call, "bulk", lines, None)
        if call % 2:
            ledger.flush()
    ledger.flush()
    for after in range(14):
        assert ledger.after(after).count(b"\n") == max(0, 12 - after)
    assert ledger.summary()["doubled_mids"] == 6


@given(st.lists(st.integers(0, 9), max_size=8), st.integers(1, 7))
def test_frames_survive_any_cut(numbers, size):
    stream = b"".join(frame([Report(number)]) for number in numbers)
    unframer = Unframer()
    found = []
    for start in range(0, len(stream), size):
        found += unframer.feed(stream[start : start + size])
    assert [for_courier(body) for body in found] == [[Report(number)] for number in numbers]


def test_the_first_rule_that_strikes_wins():
    faults = Faults()
    rules = [Rule("close", Match(count=1)), Rule("hang", Match(api="bulk")), Rule("throttle")]
    faults.replace(Script(rules=rules), 0)
    struck = [faults.for_call(api, [], 0) for api in ("single", "bulk", "single", "GetAccount")]
    assert [rule.do if rule else None for rule in struck] == ["close", "hang", "throttle", None]
