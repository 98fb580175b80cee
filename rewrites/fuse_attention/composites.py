"""`stablehlo.composite` that is named attention: inlined where its decomposition holds attention."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from xdsl.dialects.builtin import ModuleOp, StringAttr, SymbolRefAttr
from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation

from flashlower.rewrites.inline import inline

_NAMED_ATTENTION = re.compile("attention|sdpa", re.IGNORECASE)


@dataclass
class CompositeInliner:
    """
    Replaces composites that are named attention by their decompositions.

    `holds_attention` tells whether attention would be found in a function. A composite whose
    decomposition holds none is worth more to whoever knows its name, and stays.
    """

    holds_attention: Callable[[FuncOp], bool]
    _known: dict[Operation, bool] = field(default_factory=dict[Operation, bool])

    def run(self, module: ModuleOp) -> None:
        if any(map(attention_decomposition, module.walk())):
            inline(module, attention_decomposition, self._accepts)

    def _accepts(self, composite: Operation, function: FuncOp) -> bool:
        type = function.function_type
        if tuple(composite.operand_types) != type.inputs.data or tuple(composite.result_types) != type.outputs.data:
            return False
        if function not in self._known:
            self._known[function] = self.holds_attention(function)
        return self._known[function]


def attention_decomposition(op: Operation) -> str | None:
    """The decomposition of a composite that is named attention ("attention" or "sdpa" in any case), else None."""
    if op.name != "stablehlo.composite" or op.regions:
        return None
    name = op.properties.get("name", op.attributes.get("name"))
    function = op.properties.get("decomposition", op.attributes.get("decomposition"))
    if not isinstance(name, StringAttr) or not isinstance(function, SymbolRefAttr):
        return None
    return function.string_value() if _NAMED_ATTENTION.search(name.data) else None
