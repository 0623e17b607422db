"""Async inside, sync outside: one event loop in a thread, and plain calls into it.

The SDK's I/O is written once, as coroutines. Notebooks and scripts want plain calls, also inside
a kernel whose own loop is already running; so a client has one `Portal`, and the sync face of a
class is a `Face` whose methods are named one by one with `blocking`, which keeps their types.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from grail.errors import Unavailable

A = TypeVar("A")
T = TypeVar("T")
P = ParamSpec("P")


class Portal:
    """A thread with an event loop. Close it, or use it with `with`; at exit it closes itself."""

    def __init__(self) -> None:
        manager = start_blocking_portal("asyncio", name="grail-portal")
        self._portal = manager.__enter__()
        # The interpreter stops daemon threads before it collects what is left: close by atexit.
        self._close = weakref.finalize(self, _shut, manager, self._portal)

    @property
    def alive(self) -> bool:
        """Whether it takes calls."""
        return self._close.alive

    def call(
        self, function: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a coroutine function in the loop and wait for it; Ctrl-C cancels it there too.

        Raises `Unavailable` when the portal is closed, and whatever the function raises.
        """
        if not self.alive:
            raise Unavailable("the connection is closed", hint="connect again")
        future = self._portal.start_task_soon(lambda: function(*args, **kwargs))
        try:
            result: T = future.result()
        except CancelledError as exc:
            raise Unavailable("the connection was closed while a call was under way") from exc
        except BaseException:
            future.cancel()
            raise
        return result

    def iterate(self, values: AsyncIterator[T]) -> Iterator[T]:
        """The values of an async iterator, one call each."""

        async def following() -> tuple[bool, T | None]:
            try:
                return True, await anext(values)
            except StopAsyncIteration:
                return False, None

        while True:
            more, value = self.call(following)
            if not more:
                return
            yield value  # type: ignore[misc]  # `more` says that it is a T

    def close(self) -> None:
        """Stop the loop and join the thread. Closing twice is nothing."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Face(Generic[A]):
    """The sync face of an async object: `inner`, and the portal that its calls go through."""

    def __init__(self, inner: A, portal: Portal) -> None:
        self.inner = inner
        self.portal = portal


def blocking(
    method: Callable[Concatenate[A, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Face[A], P], T]:
    """The same method on a `Face`: it blocks until the coroutine is done."""

    def call(face: Face[A], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return face.portal.call(method, face.inner, *args, **kwargs)

    call.__name__ = getattr(method, "__name__", "call")
    call.__doc__ = method.__doc__
    return call


def _shut(manager: AbstractContextManager[BlockingPortal], portal: BlockingPortal) -> None:
    """Cancel what still runs, then let the thread end."""
    with contextlib.suppress(RuntimeError):  # it was stopped already
        portal.call(portal.stop, True)
    manager.__exit__(None, None, None)
