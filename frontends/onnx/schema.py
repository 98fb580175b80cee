"""What the standard says of operators: which attributes they have, how many inputs, and their function bodies."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from flashlower.frontends.onnx.package import OnnxModelError, onnx_package

OLDEST_OPSET = 7
"""Before, binary operators broadcast by attributes of their own."""


@lru_cache
def schema_of(op_type: str, opset: int, domain: str) -> Any | None:
    """The schema of an operator in an opset, or None where the onnx package has none."""
    defs = onnx_package().defs
    try:
        return defs.get_schema(op_type, opset, domain)
    except defs.SchemaError:
        return None


def check_opset(version: int) -> None:
    """Raises `OnnxModelError` for an opset of ONNX's own domain whose operators are not known."""
    newest: int = onnx_package().defs.onnx_opset_version()
    if version > newest:
        raise OnnxModelError(
            f"the model needs opset {version} of ai.onnx, but the installed onnx package knows {newest}: update it"
        )
    if version < OLDEST_OPSET:
        raise OnnxModelError(
            f"the model is in opset {version} of ai.onnx, but {OLDEST_OPSET} is the oldest that is imported: convert "
            "it with onnx.version_converter.convert_version"
        )


def fault_of(proto: Any, opset: int, domain: str) -> str | None:
    """What a node has that its operator's schema has not, or None."""
    schema = schema_of(str(proto.op_type), opset, domain)
    if schema is None:
        return None
    for kind, found, most in (
        ("inputs", len(proto.input), schema.max_input),
        ("outputs", len(proto.output), schema.max_output),
    ):
        if found > most:
            return f"has {found} {kind}, but the operator at most {most}"
    types = onnx_package().AttributeProto.AttributeType
    for attribute in proto.attribute:
        known = schema.attributes.get(attribute.name)
        if known is None:
            return f"has the attribute {attribute.name!r}, which the operator has not in this opset"
        expected = int(known.type.value)
        if attribute.type not in (expected, types.Value("UNDEFINED")):
            return f"has a {types.Name(attribute.type)} as {attribute.name!r}, expected {types.Name(expected)}"
    return None
