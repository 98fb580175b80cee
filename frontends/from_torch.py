"""PyTorch modules and functions into stage 0, through torch.export and torch-mlir."""

from __future__ import annotations

import copy
import re
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from xdsl.dialects.builtin import ModuleOp

from flashlower.dialects.parsing import parse_module


def from_torch(module_or_function: Callable[..., Any], *args: Any, **kwargs: Any) -> ModuleOp:
    """
    The StableHLO of a `torch.nn.Module` or a function, exported with these arguments, or of a
    `torch.export.ExportedProgram`, which brings its own.

    The module's `main` takes the tensors of the arguments and then of the keyword arguments, in the order of the call,
    and returns those of the result, all as `torch.utils._pytree.tree_leaves` gives them: tuples, dicts, and
    transformers' `ModelOutput` and `DynamicCache` are flattened. Numbers and None in arguments are part of the
    program; parameters and buffers become constants. A module is exported in the mode (train or eval) that it is in.

    Raises `ImportError` where PyTorch or torch-mlir is not installed, `TypeError` for arguments that are neither
    tensors nor part of a program, and `ValueError` with what to do for what cannot be exported: random numbers
    (dropout in train mode), arguments or buffers changed in place, dynamic shapes, operations that torch-mlir cannot
    lower.
    """
    try:
        torch: Any = import_module("torch")
        fx: Any = import_module("torch_mlir.fx")
    except ImportError as e:
        raise ImportError(
            "from_torch needs PyTorch and torch-mlir: pip install 'flashlower[torch,torch-mlir]' (torch-mlir has "
            "wheels for some versions of Python only)"
        ) from e
    with torch.no_grad():
        program: Any = _export(torch, module_or_function, args, kwargs)
        try:
            program = program.run_decompositions({**fx.get_decomposition_table(), **_views(torch)})
        except Exception as e:
            raise ValueError(f"torch.export cannot decompose the program: {type(e).__name__}: {_summary(e)}") from e
        _refuse_effects(program)
        _count_from_the_start(torch, program)
        _keep_tensors(torch, program)
        text = _stablehlo(fx, program)
    return parse_module(text, name="<torch>")


def _export(torch: Any, module_or_function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A `torch.export.ExportedProgram`."""
    if isinstance(module_or_function, torch.export.ExportedProgram):
        if args or kwargs:
            raise TypeError("from_torch: an ExportedProgram has its arguments already; pass it alone")
        return module_or_function
    _register_caches(torch)
    # Tensors in and tensors out: PyTorch's own way through a result that holds a cache would trace how it is rebuilt.
    leaves = torch.utils._pytree.tree_leaves((args, kwargs))
    _refuse_objects(torch, "an argument", "convert arrays with torch.as_tensor", leaves)
    tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]

    class Flat(torch.nn.Module):  # pyright: ignore[reportUntypedBaseClass]
        """The module as a function of the tensors in its arguments; all else in them is part of it."""

        def __init__(self) -> None:
            super().__init__()  # pyright: ignore[reportUnknownMemberType]
            self.callee: Any = module_or_function

        def forward(self, *argument: Any) -> tuple[Any, ...]:
            positional, named = _replaced(torch, (args, kwargs), tensors, argument)
            results = torch.utils._pytree.tree_leaves(self.callee(*positional, **named))
            _refuse_objects(torch, "the result", "return its tensors", results)
            return tuple(leaf for leaf in results if isinstance(leaf, torch.Tensor))

    try:
        return torch.export.export(Flat(), tuple(tensors), strict=False)
    except Exception as e:
        # What torch.export raises has no common type, and may be the module's own error for wrong arguments.
        raise ValueError(
            f"torch.export cannot export {type(module_or_function).__name__}: {type(e).__name__}: {_summary(e)}"
        ) from e


def _replaced(torch: Any, value: Any, tensors: Sequence[Any], others: Sequence[Any]) -> Any:
    """
    A copy of a structure with other tensors in place of some, and all else that objects in it know.

    Flattening forgets some of that, for instance how many tokens a cache with a window has seen.
    """

    class ShareTensors(torch.overrides.TorchFunctionMode):  # pyright: ignore[reportUntypedBaseClass]
        """Tensors that no one flattens are not copied either, which torch.export could not."""

        def __torch_function__(
            self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
        ) -> Any:
            return args[0] if func is torch.Tensor.__deepcopy__ else func(*args, **(kwargs or {}))

    with ShareTensors():
        return copy.deepcopy(value, {id(tensor): other for tensor, other in zip(tensors, others, strict=True)})


def _register_caches(torch: Any) -> None:
    """Lets PyTorch flatten the key-value caches of transformers, where that is in use."""
    if "transformers" not in sys.modules:
        return
    executorch: Any = import_module("transformers.integrations.executorch")
    executorch.register_dynamic_cache_export_support()
    pair: Any = import_module("transformers.cache_utils").EncoderDecoderCache
    if pair not in torch.utils._pytree.SUPPORTED_NODES:

        def flatten(cache: Any) -> tuple[list[Any], None]:
            return [cache.self_attention_cache, cache.cross_attention_cache], None

        def unflatten(caches: Any, _: None) -> Any:
            return pair(*caches)

        torch.utils._pytree.register_pytree_node(pair, flatten, unflatten)


def _refuse_objects(torch: Any, what: str, advice: str, leaves: list[Any]) -> None:
    """Raises `TypeError` for an object that PyTorch cannot look into: its tensors would become constants."""
    known = (torch.Tensor, torch.dtype, torch.device, int, float, complex, str, type(None))
    for leaf in leaves:
        if not isinstance(leaf, known):
            raise TypeError(
                f"{what} holds a {type(leaf).__name__}, which PyTorch cannot flatten: {advice}, or register the type "
                "with torch.utils._pytree.register_pytree_node"
            )


def _summary(error: BaseException) -> str:
    """The first paragraph of a message; torch's go on for pages."""
    return re.split(r"\n\s*\n", str(error).strip(), maxsplit=1)[0]


def _views(torch: Any) -> dict[Any, Callable[..., Any]]:
    """
    Decompositions of views that hold whatever the strides are.

    A program has views that fit the strides of one implementation of scaled_dot_product_attention, and is decomposed
    with another. Nothing is changed in place any more at that point, so a copy is as good as a view.
    """
    view: Any = torch.ops.aten.view.default

    def view_of_any(x: Any, size: Any) -> Any:
        # NotImplemented leaves the operation as it is.
        return NotImplemented if x.is_contiguous() else view(x.contiguous(), size)

    return {view: view_of_any}


def _refuse_effects(program: Any) -> None:
    """Raises `ValueError` for what StableHLO of fixed shapes cannot say, or what torch-mlir would drop."""
    signature = program.graph_signature
    changed = [*signature.buffers_to_mutate.values(), *signature.user_inputs_to_mutate.values()]
    if changed:
        names = ", ".join(name.removeprefix("callee.") for name in changed)
        raise ValueError(
            f"the module changes {names} in place, which cannot be exported: return the new value instead (batch norm "
            "does that in train mode: call .eval() first)"
        )
    for node in program.graph.nodes:
        if any(tag.name == "nondeterministic_seeded" for tag in getattr(node.target, "tags", ())):
            raise ValueError(
                f"{node.target} draws random numbers, which cannot be exported: call .eval() on the module first"
            )
        value = node.meta.get("val")
        for size in getattr(value, "shape", (value,)):
            if type(size).__name__.startswith("Sym"):
                raise ValueError(
                    f"{node.name} ({node.target}) has the symbolic size {size}, but sizes must be known: export "
                    "without `dynamic_shapes`, and let no shape or Python number depend on data"
                )


def _count_from_the_start(torch: Any, program: Any) -> None:
    """Adds the size of a dimension to indices below 0, which torch-mlir reads as 0."""
    aten: Any = torch.ops.aten
    graph = program.graph

    def call(target: Any, *args: Any) -> Any:
        node = graph.call_function(target, args)
        node.meta["val"] = target(*(a.meta["val"] if isinstance(a, torch.fx.Node) else a for a in args))
        return node

    for node in list(graph.nodes):
        if node.target not in (aten.index.Tensor, aten.index_put.default):
            continue
        shape = node.args[0].meta["val"].shape
        indices = list(node.args[1])
        for i, index in enumerate(indices):
            if index is None or _is_never_negative(torch, program, index):
                continue
            if index.meta["val"].dtype == torch.bool:
                # It stands for several dimensions. torch-mlir refuses it, as it gives as many elements as are true.
                break
            with graph.inserting_before(node):
                indices[i] = call(
                    aten.where.self,
                    call(aten.lt.Scalar, index, 0),
                    call(aten.add.Scalar, index, shape[i]),
                    index,
                )
        node.args = (node.args[0], indices, *node.args[2:])


def _is_never_negative(torch: Any, program: Any, index: Any) -> bool:
    """Whether indices are a range of numbers from 0 on, or constants like that, or a view of either."""
    aten: Any = torch.ops.aten
    views = (aten.view, aten.unsqueeze, aten.expand, aten.clone, aten._to_copy, aten.lift_fresh_copy, aten.permute)
    while getattr(index.target, "overloadpacket", None) in views:
        index = index.args[0]
    if getattr(index.target, "overloadpacket", None) is aten.arange:
        # Its end, or its start and its end.
        return all(bound >= 0 for bound in index.args[:2])
    name = program.graph_signature.inputs_to_lifted_tensor_constants.get(index.name)
    return name is not None and bool((program.constants[name] >= 0).all())


def _keep_tensors(torch: Any, program: Any) -> None:
    """Makes the program one that torch-mlir imports: tensors in, tensors out, every buffer in the state."""
    for name in program.graph_signature.non_persistent_buffers:
        program.state_dict[name] = program.constants[name]
    graph = program.graph
    for node in graph.find_nodes(op="placeholder"):
        if not isinstance(node.meta.get("val"), torch.Tensor) and not node.users:
            graph.erase_node(node)
    output = graph.output_node()
    output.args = (tuple(result for result in output.args[0] if isinstance(result, torch.fx.Node)),)


def _stablehlo(fx: Any, program: Any) -> str:
    """The program as StableHLO in generic form."""
    context: Any = import_module("torch_mlir.ir").Context()
    import_module("torch_mlir.dialects.torch").register_dialect(context)
    importer: Any = import_module("torch_mlir.extras.fx_importer").FxImporter(context=context)
    diagnostics: list[str] = []

    def keep(diagnostic: Any) -> bool:
        diagnostics.append(f"{_operation(diagnostic.message)}, at {diagnostic.location}")
        return True

    context.attach_diagnostic_handler(keep)
    try:
        imported: Any = fx.export_and_import(
            program, output_type="stablehlo", fx_importer=importer, decomposition_table={}
        )
    except Exception as e:
        # torch-mlir's own error says how to run its passes by hand; what stopped them is in a diagnostic.
        what = diagnostics[0] if diagnostics else f"{type(e).__name__}: {_summary(e)}"
        raise ValueError(
            f"torch-mlir cannot lower the module to StableHLO: {what}; compute it with other operations, or export "
            "through ONNX"
        ) from e
    return imported.operation.get_asm(print_generic_op_form=True)


def _operation(message: str) -> str:
    """A diagnostic without the text of the operation, but with PyTorch's name of it where torch-mlir has none."""
    name = re.search(r'<{name = "torch\.([\w.]+)"}>', message)
    return f"{name[1]} is unknown" if name else message.split(": %")[0]
