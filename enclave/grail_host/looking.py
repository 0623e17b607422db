"""The loop of every part that looks at something again and again, whatever goes wrong with it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from grail.errors import GrailError

log = logging.getLogger("grail_host")


async def keep_looking(
    what: str, look: Callable[[], Awaitable[float | None]], pause: float, *, spread: float = 0.0
) -> None:
    """Look until cancelled; what fails is tried again, and said once, not at every look.

    `pause` seconds pass between two looks, or what a look gives back, by chance longer by up to
    `spread` of that: sixteen hosts need not look at once.
    """
    said = ""
    while True:
        wait = pause
        try:
            wait = await look() or pause
            said = ""
        except GrailError as exc:
            if str(exc) != said:
                said = str(exc)
                log.warning("%s: %s", what, said)
        await asyncio.sleep(wait * random.SystemRandom().uniform(1, 1 + spread))
