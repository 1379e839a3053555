"""Signature version 4, checked from the caller's side of the wire."""

import functools
import hashlib
import hmac
import re
from collections.abc import Mapping
from urllib.parse import quote, unquote_plus

_FORM = re.compile(
    r"AWS4-HMAC-SHA256 Credential=[^/]+/(\d{8})/([^/]+)/([^/]+)/aws4_request,\s*"
    r"SignedHeaders=([^,]+),\s*Signature=([0-9a-f]{64})"
)
_SERVICES = ("ses", "sns")


def problem_of(
    secret: str, line: tuple[str, str], headers: Mapping[str, str], body: bytes
) -> str | None:
    """Say what is wrong with a request's signature, or nothing; line is (method, url)."""
    found = _FORM.fullmatch(headers.get("authorization", ""))
    if found is None:
        return "Authorization header is not a Signature Version 4 one."
    day, region, service, names, signature = found.groups()
    moment = headers.get("x-amz-date", "")
    if service not in _SERVICES or not moment.startswith(day):
        return "Credential should be scoped to a valid service and date."
    if "host" not in names.split(";"):
        return "'Host' must be a 'SignedHeader' in the AWS Authorization."
    canonical = _canonical(line, names, headers, body)
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{moment}\n{day}/{region}/{service}/aws4_request\n{digest}"
    wanted = hmac.new(_key(secret, day, region, service), text.encode(), "sha256").hexdigest()
    if hmac.compare_digest(wanted, signature):
        return None
    return (
        "The request signature we calculated does not match the signature you provided."
        " Check your AWS Secret Access Key and signing method."
    )


def _canonical(line: tuple[str, str], names: str, headers: Mapping[str, str], body: bytes) -> str:
    method, url = line
    path, _, query = url.partition("?")
    pairs = sorted(
        (_encoded(key), _encoded(value))
        for key, _, value in (pair.partition("=") for pair in query.split("&") if pair)
    )
    lines = [f"{name}:{' '.join(headers.get(name, '').split())}\n" for name in names.split(";")]
    unsigned = headers.get("x-amz-content-sha256") == "UNSIGNED-PAYLOAD"
    payload = "UNSIGNED-PAYLOAD" if unsigned else hashlib.sha256(body).hexdigest()
    return "\n".join(
        [
            method,
            quote(path, safe="/-_.~"),
            "&".join(f"{key}={value}" for key, value in pairs),
            "".join(lines),
            names,
            payload,
        ]
    )


def _encoded(text: str) -> str:
    return quote(unquote_plus(text), safe="-_.~")


@functools.lru_cache(maxsize=16)
def _key(secret: str, day: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), "sha256").digest()
    return key
