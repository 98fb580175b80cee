"""A NumPy model of the part of NKI 0.6.0 that attention kernels use, importable as `nki`. Test support.

Kernels run unchanged, eagerly and in program order: `nki.simulate(kernel)(*arrays)`, `nki.simulate(kernel[2])(*arrays)`
for two cores. The machine is the one that NEURON_PLATFORM_TARGET_OVERRIDE names (trn1, inf2, trn2, trn3). Every
documented constraint is a rule with a name (`nki.RULES`); a kernel that breaks one fails with `nki.RuleError`.
"""

from nki import isa, language
from nki._machine import poison_unwritten
from nki._rules import RULES, RuleError
from nki._run import Kernel, jit, simulate

# A mark by which tests tell the model from Amazon's package.
IS_FLASHLOWER_MODEL = True

__all__ = [
    "IS_FLASHLOWER_MODEL",
    "RULES",
    "Kernel",
    "RuleError",
    "isa",
    "jit",
    "language",
    "poison_unwritten",
    "simulate",
]
