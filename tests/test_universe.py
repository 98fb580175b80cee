"""Plugins of xdsl-opt: the entries load, and our stablehlo steps aside for another package's.

Two plugins that register one dialect name stop every `xdsl-opt`, for whatever purpose it was started.
"""

import importlib
import importlib.metadata
from dataclasses import dataclass

import pytest

from flashlower import universe


@dataclass
class FakeDistribution:
    name: str


@dataclass
class FakeEntryPoint:
    name: str
    dist: FakeDistribution | None


def test_foreign_stablehlo_is_recognised_by_its_distribution():
    own = FakeEntryPoint("flashlower", FakeDistribution("flashlower"))
    unknown = FakeEntryPoint("xdsl-jax", None)
    foreign = FakeEntryPoint("anything", FakeDistribution("xdsl-jax"))
    assert not universe.has_foreign_stablehlo([own, unknown])  # type: ignore[list-item]
    assert universe.has_foreign_stablehlo([own, foreign])  # type: ignore[list-item]


def test_stablehlo_is_registered_unless_another_plugin_has_it(monkeypatch: pytest.MonkeyPatch):
    assert "stablehlo" in universe.UNIVERSE.all_dialects
    foreign = FakeEntryPoint("xdsl_jax", FakeDistribution("xdsl-jax"))
    try:
        with monkeypatch.context() as patch:
            patch.setattr(importlib.metadata, "entry_points", lambda **_: [foreign])
            reloaded = importlib.reload(universe)
            assert "stablehlo" not in reloaded.UNIVERSE.all_dialects
            assert "inline-calls" in reloaded.UNIVERSE.all_passes
    finally:
        importlib.reload(universe)
    assert "stablehlo" in universe.UNIVERSE.all_dialects
