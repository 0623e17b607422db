"""Real enclaves, real transactions, real coordinators; the rest comes from a seed.

    schedule.py        a schedule is data: who asks for what, what goes wrong, what the chain does
    crew.py            how many operators there are
    market.py, book.py the chain on which all begins, and every transaction that may be asked for
    ground.py          the chain of one schedule: blocks, conflicts, reorganisations
    station.py         an operator: instances of `grail_enclave.enclave.Enclave`, and its host
    network.py         delays, losses, duplicates, partitions, lies on the wire
    client.py          users with real coordinators
    monitor.py         the judge (I1 to I6, I11, I12), with supply.py and second_opinion.py
    town.py            enclaves that attest to each other and hold one roster
    carrier.py         hosts that carry the links between them, and strangers that dial
    quiet.py           links whose secrets cost nothing, for most schedules
    elders.py          the judge of the roster (I7)
    stage.py           one schedule from the storm to the end
    shrink.py          a failing schedule made small
    campaigns.py       many schedules

`campaign(first_seed, count)` plays the schedules of that many seeds, each with a living roster;
`campaign(first_seed, count, draw=drawn)` plays rounds alone among sixteen. A failing one is shrunk and
saved as JSON in the folder `saved`; `replay("I3-7.json")` plays it again, and every file that is
committed there is played by `make test`. `SEED=7 make test` begins with seed 7, else the first seed
is drawn by chance; a failure names it.

A schedule plays the same way whenever it is played in one process. Keys of proofs, and so families,
differ from process to process, and with them who wins a tie between two families in one round: a
saved schedule that fails only by such a tie may need a few runs.

Costs: the book is proven once per process and crew (some seconds), pure functions are remembered over all
enclaves (remembered.py), and what every new instance learns in the same way is copied into it. Each
enclave still runs every rule on every request by itself.
"""

from simulation.campaigns import FIRST, SAVED, Campaign, campaign, judged, replay, why
from simulation.monitor import Monitor
from simulation.schedule import Ask, Event, Schedule, drawn, living
from simulation.shrink import shrunk
from simulation.stage import Outcome, play
from simulation.unsafe import Unsafe

__all__ = [
    "FIRST",
    "SAVED",
    "Ask",
    "Campaign",
    "Event",
    "Monitor",
    "Outcome",
    "Schedule",
    "Unsafe",
    "campaign",
    "drawn",
    "judged",
    "living",
    "play",
    "replay",
    "shrunk",
    "why",
]
