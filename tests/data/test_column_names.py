from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cift.data.column_names import ours_to_theirs
from cift.errors import InvalidParameter

OURS, THEIRS = ("price", "size", "flags"), ("price", "qty", "last", "size")
NAMES = st.sampled_from((*OURS, *THEIRS, "neither"))


def is_read(pairs: list[tuple[str, str]]) -> bool:
    """Whether pairs of our name and theirs say for some of our names which column it is."""
    return all(our in OURS and their in THEIRS for our, their in pairs) and len({our for our, _ in pairs}) == len(pairs)


@given(st.dictionaries(NAMES, NAMES, max_size=4))
def test_a_map_is_read_in_the_direction_that_fits(columns: dict[str, str]) -> None:
    straight, turned = list(columns.items()), [(value, key) for key, value in columns.items()]
    fitting = {frozenset(pairs) for pairs in (straight, turned) if is_read(pairs)}
    try:
        found = ours_to_theirs(columns, OURS, THEIRS)
    except InvalidParameter:
        assert len(fitting) == 2
    else:
        assert fitting == (set() if found is None else {frozenset(found.items())})


def test_what_is_ours_elsewhere_is_left_out() -> None:
    both = {"price": "last", "bid_price": "bid"}
    for columns in (both, {their: our for our, their in both.items()}):
        assert ours_to_theirs(columns, OURS, THEIRS, elsewhere=("bid_price", "price")) == {"price": "last"}
        assert ours_to_theirs(columns, OURS, THEIRS) is None
    assert ours_to_theirs({"bid_price": "price"}, OURS, THEIRS, elsewhere=("bid_price",)) == {}
