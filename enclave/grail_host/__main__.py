"""Start an operator's host: `python -m grail_host --config FILE`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncIterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from grail.bitcoin.node import Node
from grail.errors import GrailError, InvalidInput
from grail.operators.configuration import Configuration
from grail.operators.messages import Standing
from grail.operators.transport import Host
from grail_host.api import Api
from grail_host.application import application
from grail_host.auditor import Auditor
from grail_host.caretaker import Caretaker
from grail_host.carrier import Carrier
from grail_host.conflicts import Conflicts
from grail_host.deadline import Deadline
from grail_host.finisher import Finisher
from grail_host.follower import Follower
from grail_host.herald import Herald
from grail_host.journal import Journal
from grail_host.keeper import Keeper
from grail_host.link import Link
from grail_host.peers import Cut, Peers
from grail_host.prechecks import Prechecks
from grail_host.quota import Quota
from grail_host.recovery import Recovery
from grail_host.settings import LOOPBACK, Settings, read_settings

MAX_CONNECTIONS = 256
"""At once; more are answered with 503."""

IDLE_SECONDS = 30
"""For a connection that is kept open between requests."""

log = logging.getLogger("grail_host")


def build(settings: Settings, path: Path | None = None) -> Starlette:
    """The whole host, ready to serve; `path` is where its settings stand. Raises `InvalidInput`."""
    try:
        configuration = Configuration.from_json(Path(settings.configuration).read_text("utf-8"))
    except OSError as exc:
        raise InvalidInput(f"configuration {settings.configuration}: {exc.strerror}") from exc
    node = Node(settings.node.url, settings.node.cookie)
    link = Link(Path(settings.socket))
    follower = Follower(node, link)
    conflicts = Conflicts(node, link, follower, configuration.network)
    keeper = Keeper(node, configuration.network, conflicts)
    peers = Peers(
        _hosts(settings),
        renewed=None if path is None else lambda: _later(path),
        cut=Cut(Path(settings.cut)) if settings.cut else None,
    )
    finisher = Finisher(
        node,
        link,
        configuration.network,
        peers,
        patience=settings.finish_after,
        keeper=keeper,
        journal=Journal(Path(settings.journal)) if settings.journal else None,
    )
    caretaker = Caretaker(node, link, configuration.network, peers, patience=settings.finish_after)
    auditor = Auditor(node, link)

    async def restored(standing: Standing) -> None:
        """What the enclave took back is looked after like what it voted for."""
        await auditor.note(standing.body)
        await conflicts.watch(standing.body, late=True)
        if standing.family is not None and not standing.decision:
            caretaker.voted(standing.family, standing.outpoints, standing.body)

    async def resumed() -> None:
        """What an earlier process of this host signed is looked out for in blocks again."""
        for request in finisher.resume():
            try:
                await conflicts.watch(request, late=True)
            except GrailError as exc:
                log.warning("spends in blocks: %s", exc)

    herald = Herald(node, link, follower, configuration, _bundles(settings.bundles))
    recovery = Recovery(link, peers, restored)
    own = f"http://{LOOPBACK}:{settings.port}"
    carrying = () if configuration.attesting is None else (Carrier(link, peers, own),)
    quota = Quota(settings.requests, settings.megabytes * 1_000_000)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        parts = (follower, conflicts, keeper, recovery, herald, auditor, *carrying)
        tasks = [asyncio.create_task(each.run()) for each in parts]
        tasks.append(asyncio.create_task(resumed()))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await finisher.aclose()
            await caretaker.aclose()
            await link.aclose()
            await node.aclose()

    api = Api(
        link, conflicts, Prechecks(node), quota, finisher, caretaker=caretaker, auditor=auditor
    )
    return application(
        api.endpoints(),
        port=settings.port,
        token=settings.token,
        version=_version(),
        lifespan=lifespan,
    )


def _hosts(settings: Settings) -> list[Host]:
    return [Host(peer.url, peer.token) for peer in settings.peers]


def _later(path: Path) -> list[Host]:
    """The peers that the settings name by now: a roster change brings new ones."""
    return _hosts(read_settings(path))


def _bundles(paths: Sequence[str]) -> list[bytes]:
    """The bundles that the settings name. Raises `InvalidInput`."""
    try:
        return [Path(path).read_bytes() for path in paths]
    except OSError as exc:
        raise InvalidInput(f"bundle {exc.filename}: {exc.strerror}") from exc


def _version() -> str:
    """The distribution's version; "source" where the packages run from their source folder."""
    try:
        return version("grail-pro")
    except PackageNotFoundError:
        return "source"


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to stop; 2 when the settings cannot be used."""
    parser = argparse.ArgumentParser(prog="grail_host", description="an operator's host")
    parser.add_argument("--config", type=Path, required=True, help="the host's settings (JSON)")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    # A line for each request to the node would drown the log, and costs time on 16 hosts.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        settings = read_settings(given.config)
        app = build(settings, given.config)
    except GrailError as exc:
        print(f"grail_host: {exc}", file=sys.stderr)  # noqa: T201 -- the log is not set up for people
        return 2
    uvicorn.run(
        app,
        host=LOOPBACK,
        port=settings.port,
        loop="asyncio",
        http=Deadline,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=2,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
