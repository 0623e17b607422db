"""Apps and contracts as people see them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from grail.charms.app import App, Contract

WORD = st.binary(min_size=32, max_size=32)


@given(st.characters(), WORD, WORD)
def test_repr_is_text_that_makes_the_same_again(tag: str, identity: bytes, vk: bytes) -> None:
    app = App(tag, identity, vk)
    assert eval(repr(app)) == app
    assert eval(repr(app.contract)) == Contract(identity, vk)
    assert identity.hex() in repr(app)
    assert repr(app).isprintable()
