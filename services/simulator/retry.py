"""SNS's delivery policy: how many times, and how far apart, it posts again."""

from typing import Any

import msgspec

from services.simulator.parcels import DEFAULT_DELAY_S, DEFAULT_RETRIES, RetryPolicy


def policy_of(topic_policy: str | None, subscription_policy: str | None) -> RetryPolicy:
    """Read the policy in force: the subscription's, else the topic's, else SNS's own."""
    told = _inside(subscription_policy, "healthyRetryPolicy")
    if not told:
        http = _inside(topic_policy, "http")
        told = http.get("defaultHealthyRetryPolicy") or {}
    if not isinstance(told, dict):
        return RetryPolicy()
    low = float(told.get("minDelayTarget", DEFAULT_DELAY_S))
    return RetryPolicy(
        retries=min(100, int(told.get("numRetries", DEFAULT_RETRIES))),
        min_delay_s=low,
        max_delay_s=max(low, float(told.get("maxDelayTarget", DEFAULT_DELAY_S))),
        no_delay=int(told.get("numNoDelayRetries", 0)),
        at_min=int(told.get("numMinDelayRetries", 0)),
        at_max=int(told.get("numMaxDelayRetries", 0)),
    )


def is_policy(text: str) -> bool:
    """Tell whether a delivery policy can be read."""
    try:
        policy_of(text, text)
        return isinstance(msgspec.json.decode(text), dict)
    except (msgspec.DecodeError, TypeError, ValueError):
        return False


def delay_s(policy: RetryPolicy, retry: int) -> float | None:
    """Give the pause before a retry (the first is 1), or None when SNS gives up."""
    if retry > policy.retries:
        return None
    backing_off = policy.retries - policy.no_delay - policy.at_min - policy.at_max
    place = retry - policy.no_delay - policy.at_min
    if retry <= policy.no_delay:
        return 0.0
    if place <= 0:
        return policy.min_delay_s
    if place > backing_off or backing_off <= 1:
        return policy.max_delay_s if place > backing_off else policy.min_delay_s
    share = (place - 1) / (backing_off - 1)
    return policy.min_delay_s + share * (policy.max_delay_s - policy.min_delay_s)


def _inside(text: str | None, key: str) -> dict[str, Any]:
    if not text:
        return {}
    whole = msgspec.json.decode(text)
    found = whole.get(key) if isinstance(whole, dict) else None
    return found if isinstance(found, dict) else {}
