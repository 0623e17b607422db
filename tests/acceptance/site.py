"""The documentation site: built without a warning, every link followed."""

from __future__ import annotations

from collections.abc import Callable


def documentation() -> str:
    """All pages, with the notebook as it came out of a run."""
    import site_build

    site_build.build()
    found = site_build.check(site_build.SITE)
    elsewhere = site_build.styles_from_elsewhere(site_build.SITE)
    assert not found.broken, "\n".join(found.broken[:20])
    fetched = [*found.remote, *elsewhere]
    assert not fetched, fetched
    return f"warnings 0, {found}"


PROMISES: dict[str, Callable[[], str]] = {"site": documentation}
"""In the order of the issue."""
