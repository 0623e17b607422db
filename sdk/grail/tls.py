"""Whom HTTPS believes: the roots of `certifi`, read once in a process.

Reading them takes some 20 ms of CPU, and a client that is given none reads them each time one is
made, for plain HTTP too.
"""

from __future__ import annotations

import functools
import ssl

import httpx


@functools.cache
def trusted() -> ssl.SSLContext:
    """For `verify` of an httpx client. The environment names no other roots."""
    return httpx.create_ssl_context(trust_env=False)
