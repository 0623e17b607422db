"""The operators and who hears whom, as a picture: a circle of seats, grouped by zone.

A line is drawn between two that heard of each other within a minute. Whoever is behind, silent or
expelled has a colour and a mark of its own, so that nothing hangs on colour alone.
"""

from __future__ import annotations

import html
import math
from dataclasses import dataclass

from grail.connection.roster_view import Member, RosterView, said_of

SIZE = 460
RADIUS = 160
COLOURS = {"in step": "#2f7d4f", "behind": "#b7791f", "no answer": "#8a8f98"}
GUILTY = "#b23b3b"
MARKS = {"in step": "", "behind": "?", "no answer": "x"}


@dataclass(frozen=True, repr=False)
class NetworkGraph:
    """A picture of a roster's members; text where there are no pictures."""

    roster: RosterView

    @property
    def edges(self) -> tuple[tuple[str, str], ...]:
        """Pairs of members that hear of each other, each pair once."""
        heard = self.roster.links
        return tuple(
            (one, two)
            for one in sorted(heard)
            for two in sorted(heard[one])
            if one < two and one in heard.get(two, ())
        )

    def __str__(self) -> str:
        """Each member, its standing, and whom it does not hear."""
        names = [member.name for member in self.roster.members]
        lines = []
        for member in self.roster.members:
            heard = set(self.roster.links.get(member.name, ()))
            missing = [name for name in names if name not in heard and name != member.name]
            lacks = f", does not hear {', '.join(missing)}" if missing else ""
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
        colour, mark = COLOURS.get(said, GUILTY), MARKS.get(said, "!")
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
