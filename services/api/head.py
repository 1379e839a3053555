"""The headers of a request, read as they came in.

starlette's `Headers` encodes and decodes every name and value for each question asked of it: of
what a small post costs, that was a tenth.
"""

from starlette.types import Scope


def values(scope: Scope, name: bytes) -> list[bytes]:
    """Answer every value of a header; the name is in lower case, as uvicorn hands it on."""
    return [value for found, value in scope["headers"] if found == name]


def text(scope: Scope, name: bytes, default: str = "") -> str:
    """Answer the first value of a header as text, which in HTTP is Latin-1 (RFC 9110 §5.5)."""
    for found, value in scope["headers"]:
        if found == name:
            return str(value, "latin-1")
    return default
