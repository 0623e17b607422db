"""What a host has to finish is on its disk: killed and started again, it goes on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from enclave_world import World, sign, vote
from peers_in_memory import reach
from simulation.book import book
from simulation.market import market

from grail.errors import Unavailable
from grail.operators import frames
from grail.operators.frames import Frame
from grail.operators.messages import Vote
from grail.operators.transport import Host
from grail_enclave.enclave import Enclave
from grail_host import journal as journals
from grail_host.finisher import Finisher
from grail_host.journal import Journal
from grail_host.peers import Peers


def decided(world: World) -> tuple[Frame, list[Enclave], str]:
    """A sign frame that twelve enclaves answered, whose signatures nobody published."""
    built = world.peg_in(*world.paid())
    request, enclaves = world.request(built), world.enclaves()
    votes = [vote(enclave, request) for enclave in enclaves]
    for enclave in enclaves[:12]:
        assert sign(enclave, request, votes).refusal is None
    certificate = [Vote.parse(reply.unwrap()) for reply in votes[:12]]
    return frames.sign_frame(certificate, request.serialize()), enclaves, str(built.tx.txid)


def test_S17_a_host_that_was_killed_finishes_what_it_waited_for(host, world, tmp_path):
    frame, enclaves, txid = decided(world)
    hosts = tuple(Host(f"http://peer/{i}", "") for i in range(16))

    async def main() -> None:
        async with host() as running:

            def finisher(patience: float) -> Finisher:
                return Finisher(
                    running.conflicts._node,
                    running.link,
                    world.network,
                    Peers(hosts, reach(enclaves)),
                    patience=patience,
                    journal=Journal(tmp_path / "journal"),
                )

            killed = finisher(60)
            killed.decided(frame)
            await asyncio.sleep(0)
            await killed.aclose()  # no more than a kill does: nothing is finished, nothing written
            assert txid not in running.node.mempool
            again = finisher(0.01)
            assert again.resume() == [frames.read_sign(frame.body)[1]]
            async with asyncio.timeout(30):
                await asyncio.gather(*again._pending.values())
            assert txid in running.node.mempool
            assert Journal(tmp_path / "journal").frames() == []

    asyncio.run(main())


def test_S17_what_pays_more_is_finished_where_two_had_signed_it(host, tmp_path):
    """A fee raise is signed by two operators and left; no other quorum is up for what it raised."""
    world, less, more = market().world, book()["A1"], book()["A1+"]
    enclaves = world.enclaves()
    votes = [enclave.reply(frames.vote_frame(less.request).raw) for enclave in enclaves]
    certificate = [Vote.parse(reply.blob()) for reply in votes]
    signs = [frames.sign_frame(certificate, entry.request) for entry in (less, more)]
    for enclave in enclaves[:12]:
        enclave.reply(signs[0].raw).unwrap()
    for enclave in enclaves[10:12]:
        enclave.reply(signs[1].raw).unwrap()
    hosts = tuple(Host(f"http://peer/{i}", "") for i in range(16))

    async def main() -> None:
        async with host(world=world) as running:
            finisher = Finisher(
                running.conflicts._node,
                running.link,
                world.network,
                Peers(hosts, reach(enclaves, dead=(12, 13, 14, 15))),
                patience=0.01,
                journal=Journal(tmp_path / "journal"),
            )
            for frame in signs:
                finisher.decided(frame)
            assert Journal(tmp_path / "journal").frames() == signs[1:]
            async with asyncio.timeout(30):
                await asyncio.gather(*finisher._pending.values())
            assert list(running.node.mempool) == [str(more.tx.txid)]

    asyncio.run(main())


def test_damaged_files_are_dropped_and_a_full_disk_hinders_nobody(world, tmp_path, monkeypatch):
    frame, _, _ = decided(world)
    family = frames.read_sign(frame.body)[0][0].family
    journal = Journal(tmp_path)
    journal.keep(family, frame)
    (tmp_path / ("0" * 64)).write_bytes(frame.raw)  # another's name
    (tmp_path / "junk").write_bytes(b"\x80")
    assert journal.frames() == [frame]
    assert [path.name for path in tmp_path.iterdir()] == [family.hex()]
    journal.drop(family)
    journal.drop(family)

    def full(_path: Path, _data: bytes) -> None:
        raise Unavailable("no room")

    monkeypatch.setattr(journals, "write_private", full)
    journal.keep(family, frame)
    assert journal.frames() == []


@pytest.mark.parametrize("mode", [0o755, 0o770])
def test_D8_a_journal_others_can_enter_is_refused(mode, tmp_path):
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(ValueError, match="expected 0700"):
        Journal(folder)
