"""Running passes on module text, as `xdsl-opt -p` does, for tests that then look at or run the result."""

from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import PassPipeline
from xdsl.transforms import get_all_passes

from flashlower.dialects.parsing import make_context, parse_module
from flashlower.universe import UNIVERSE


def transform(text: str, pipeline: str = "") -> ModuleOp:
    """The parsed module after the passes of a pipeline in xdsl-opt's notation, verified."""
    ctx = make_context()
    module = parse_module(text, ctx)
    PassPipeline.parse_spec({**get_all_passes(), **UNIVERSE.all_passes}, pipeline).apply(ctx, module)
    module.verify()
    return module


def op_names(module: ModuleOp) -> list[str]:
    """The names of all operations of a module, in order."""
    return [op.name for op in module.walk()]
