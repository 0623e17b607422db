"""A line on which no request is under way is closed after a while, however many bytes trickle in.

The server itself waits for ever for the head of a first request; a few hundred lines that never
finish one would then keep everybody else out.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
"""Between two looks: an idle line lives for one to two of them."""

_BUSY = object()
"""Stands for a request that was under way at a look."""


class Deadline(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it, with a deadline for each request's head."""

    _look: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Look at the line from time to time from now on."""
        super().connection_made(transport)
        self._look = self.loop.call_later(HEAD_SECONDS, self._looked, None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Look no more."""
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def _looked(self, before: object) -> None:
        """Close the line when its last request, or none at all, was over at the look before too."""
        idle = self.cycle is None or self.cycle.response_complete
        if idle and before is self.cycle:
            self.transport.close()
            return
        now = self.cycle if idle else _BUSY
        self._look = self.loop.call_later(HEAD_SECONDS, self._looked, now)
