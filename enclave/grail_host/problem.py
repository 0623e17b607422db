"""How a host says no on its own account: JSON with a name, a message and a hint."""

from __future__ import annotations

import msgspec
from starlette.responses import Response


class Problem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the host itself refuses or cannot do. The enclave's refusals are CBOR and signed."""

    error: str
    message: str
    hint: str = ""


def problem(status: int, error: str, message: str, hint: str = "") -> Response:
    """The answer that carries a problem."""
    body = msgspec.json.encode(Problem(error, message[:500], hint[:200]))
    return Response(body, status, media_type="application/json")
