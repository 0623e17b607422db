"""The operators and their links, as a picture: a circle of seats, grouped by zone.

A line is drawn between two whose enclaves both say that their link is open, and that no answer is
overdue on it. Each standing of a member has a colour and a mark of its own, so that nothing hangs
on colour alone.
"""

from __future__ import annotations

import html
import math
from dataclasses import dataclass

from grail.connection.roster_view import Member, RosterView, Standing, said_of, standing

SIZE = 460
RADIUS = 160
LOOKS = {
    Standing.IN_STEP: ("#2f7d4f", ""),
    Standing.LEAVING: ("#2b6cb0", ">"),
    Standing.BEHIND: ("#b7791f", "?"),
    Standing.BEHIND_LEAVING: ("#8a5a12", "?>"),
    Standing.NO_ANSWER: ("#8a8f98", "x"),
    Standing.SILENT: ("#4a4f57", "-"),
    Standing.EXPELLED: ("#b23b3b", "!"),
}
"""Colour and mark of each standing."""


@dataclass(frozen=True, repr=False)
class NetworkGraph:
    """A picture of a roster's members; text where there are no pictures."""

    roster: RosterView

    @property
    def edges(self) -> tuple[tuple[str, str], ...]:
        """Pairs of members with a link that both ends call open, each pair once."""
        links = self.roster.links
        return tuple(
            (one, two)
            for one in sorted(links)
            for two in sorted(links[one])
            if one < two and one in links.get(two, ())
        )

    def __str__(self) -> str:
        """Each member, its standing, and to whom it has no link."""
        names = [member.name for member in self.roster.members]
        edges = set(self.edges)
        lines = []
        for member in self.roster.members:
            own = member.name
            missing = [n for n in names if n != own and not {(own, n), (n, own)} & edges]
            lacks = f", no link to {', '.join(missing)}" if missing else ""
            lines.append(f"{member.name} ({member.seat.zone}): {said_of(member)}{lacks}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_svg_(self) -> str:
        middle = SIZE / 2
        seats = sorted(self.roster.members, key=lambda member: (member.seat.zone, member.name))
        places = {
            member.name: (
                middle + RADIUS * math.sin(2 * math.pi * at / len(seats)),
                middle - RADIUS * math.cos(2 * math.pi * at / len(seats)),
            )
            for at, member in enumerate(seats)
        }
        parts = [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE} {SIZE}" '
                f'width="{SIZE}" role="img" aria-label="{html.escape(str(self))}" '
                'font-family="sans-serif">'
            )
        ]
        for one, two in self.edges:
            if one in places and two in places:
                (x1, y1), (x2, y2) = places[one], places[two]
                parts.append(
                    f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
                    'stroke="#9db4d0" stroke-width="0.8"/>'
                )
        parts += [self._seat(member, *places[member.name]) for member in seats]
        return "".join([*parts, "</svg>"])

    def _seat(self, member: Member, x: float, y: float) -> str:
        said = said_of(member)
        colour, mark = LOOKS[standing(member)]
        middle = SIZE / 2
        out = 1 + 26 / RADIUS
        text_x, text_y = middle + (x - middle) * out, middle + (y - middle) * out
        anchor = "middle" if abs(x - middle) < 20 else "start" if x > middle else "end"
        label = html.escape(f"{member.name} {member.seat.zone}")
        return (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="11" fill="{colour}">'
            f"<title>{html.escape(f'{member.name}: {said}')}</title></circle>"
            f'<text x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle" font-size="12" '
            f'fill="#fff">{mark}</text>'
            f'<text x="{text_x:.1f}" y="{text_y + 3:.1f}" text-anchor="{anchor}" '
            f'font-size="9" fill="currentColor">{label}</text>'
        )
