"""What `make accept` counts at 1,000 operators, at sixteen: the views come to be equal."""

from roster_convergence import converge


def test_sixteen_views_are_equal_after_a_few_rounds():
    found = converge(16, told=lambda _: None)
    assert 1 < found.rounds < 12
    assert found.sent > 0
