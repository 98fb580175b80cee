"""What the NKI model says of memory is sound: right kernels are not refused.

Tiles whose lives do not overlap may share memory, addresses may be used in turn, padding may be computed on and
dropped; the faults of test_faults.py are the other side.
"""

import os

import nki_model
import numpy as np
import pytest

nki = nki_model.nki()
pytestmark = pytest.mark.skipif(not nki_model.is_model(), reason="Amazon's simulator does not model memory")
HEADER = "import nki\nimport nki.isa as nisa\nimport nki.language as nl\n\n@nki.jit\ndef kernel(x):\n"


def run(body: str, x: np.ndarray) -> np.ndarray:
    lines = "\n".join("    " + line for line in body.strip().splitlines())
    with nki_model.on_target("trn2"):
        return nki_model.run(HEADER + lines + "\n", "kernel", x)


OUT = """
out = nl.ndarray((4, 4), nl.float32, buffer=nl.shared_hbm)
nisa.dma_copy(out, t)
return out
"""


def test_dead_tiles_free_their_memory() -> None:
    """Ten tiles of 100 KiB and of two banks: two, or four banks, live at a time."""
    body = """
t = nl.ndarray((4, 25600), nl.float32)
nisa.memset(t, 1.0)
for i in range(10):
    last = t
    t = nl.ndarray((4, 25600), nl.float32)
    nisa.tensor_copy(t, last)
    p = nl.ndarray((4, 1024), nl.float32, buffer=nl.psum)
    nisa.tensor_copy(p, t[:, 0:1024])
    nisa.tensor_copy(t[:, 0:1024], p)
t = t[:, 0:4]
"""
    np.testing.assert_array_equal(run(body + OUT, np.zeros((1, 1), np.float32)), 1)


def test_a_tile_lives_to_its_last_access_whatever_python_still_holds() -> None:
    body = """
kept = []
for i in range(5):
    t = nl.ndarray((4, 25600), nl.float32)
    nisa.memset(t, 1.0)
    kept.append(t)
t = t[:, 0:4]
"""
    np.testing.assert_array_equal(run(body + OUT, np.zeros((1, 1), np.float32)), 1)
    again = body.replace("t = t[:, 0:4]", "nisa.tensor_copy(kept[4], kept[0])\nt = kept[4][:, 0:4]")
    np.testing.assert_array_equal(run(again + OUT, np.zeros((1, 1), np.float32)), 1)
    with pytest.raises(nki.RuleError) as caught:
        run(
            again.replace("t = kept[4]", "nisa.tensor_copy(kept[4], kept[1])\nt = kept[4]") + OUT,
            np.zeros((1, 1), np.float32),
        )
    assert caught.value.rule == "sbuf-capacity"


def test_addresses_used_in_turn() -> None:
    body = """
for i in range(6):
    t = nl.ndarray((4, 4), nl.float32, address=(0, i % 2 * 16))
    nisa.memset(t, 1.0 * i)
    p = nl.ndarray((4, 4), nl.float32, buffer=nl.psum, address=(0, i % 8 * 2048))
    nisa.tensor_copy(p, t)
    nisa.tensor_copy(t, p)
"""
    np.testing.assert_array_equal(run(body + OUT, np.zeros((1, 1), np.float32)), 5)


def test_unwritten_memory_can_be_made_nan() -> None:
    body = """
t = nl.ndarray((4, 8), nl.float32)
nisa.memset(t[:, 0:4], 2.0)
u = nl.ndarray((4, 8), nl.float32)
nisa.tensor_scalar(u, t, nl.multiply, 3.0)
t = u[:, FIRST:FIRST + 4]
"""
    x = np.zeros((1, 1), np.float32)
    with nki.poison_unwritten():
        np.testing.assert_array_equal(run(body.replace("FIRST", "0") + OUT, x), 6)
        assert np.isnan(run(body.replace("FIRST", "4") + OUT, x)).all()
    with pytest.raises(nki.RuleError):
        run(body.replace("FIRST", "0") + OUT, x)


def test_an_argument_that_a_kernel_writes_changes() -> None:
    x = np.zeros((4, 4), np.float32)
    body = "t = nl.ndarray((4, 4), nl.float32)\nnisa.memset(t, 3.0)\nnisa.dma_copy(x, t)\n"
    np.testing.assert_array_equal(run(body + OUT, x), 3)
    np.testing.assert_array_equal(x, 3)


def test_targets_by_the_documented_variable() -> None:
    sizes = {}
    for name in nki_model.TARGETS:
        with nki_model.on_target(name):
            assert os.environ["NEURON_PLATFORM_TARGET_OVERRIDE"] == name
            sizes[name] = nki.language.tile_size.sbuf_fmax_bytes
    assert sizes == {"trn1": 192 * 1024, "trn2": 224 * 1024, "trn3": 256 * 1024}
