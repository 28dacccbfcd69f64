"""What authors subclass: how parameters and state are declared, checked and given to each run."""

from __future__ import annotations

import pytest

import cift
from cift.errors import InvalidParameter


class Base(cift.Strategy):
    n: int = cift.param(10, low=1)
    seen: int = cift.state(0)


@pytest.mark.parametrize(("name", "told"), [("n", r"`n = cift.param\(20\)`"), ("seen", r"`seen = cift.state\(20\)`")])
def test_a_plain_value_may_not_hide_what_a_base_class_declares(name: str, told: str) -> None:
    with pytest.raises(InvalidParameter, match=f"Hides.{name} is declared with .* would be ignored; write {told}"):
        type("Hides", (Base,), {name: 20})
    mixin = type("Mixin", (), {name: 20})
    with pytest.raises(InvalidParameter, match=told):
        type("Hides", (mixin, Base), {})


def test_a_base_class_may_be_overridden_by_another_declaration() -> None:
    class Wider(Base):
        n: int = cift.param(20)

    class Other(cift.Strategy):
        m: int = cift.param(1)

    class Both(Other, Wider):
        pass

    assert Wider().n == 20
    assert (Both().n, Both().m, Both().seen) == (20, 1, 0)
    turned = type("Turned", (Base,), {"n": cift.state(3)})
    assert dict(turned.parameters) == {}
    assert turned().n == 3
