"""Attributes of the attention dialect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self, cast

from xdsl.dialects.builtin import DictionaryAttr, IntAttr
from xdsl.ir import Attribute, ParametrizedAttribute
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException


@dataclass(frozen=True)
class OptionalField:
    """A number that a schedule may have beside its tile: what is allowed, in words and from `least` to `most`."""

    expected: str
    least: int
    most: int


@irdl_attr_definition
class ScheduleAttr(ParametrizedAttribute):
    """
    How a kernel does its work; it never changes what is computed beyond rounding.

    `#attention.schedule<block_m = 16, block_n = 64, warps = 4, stages = 2>`: `block_m` packed rows
    (queries times head group) and `block_n` keys a tile, both powers of two and at least 16 (the least that
    `tl.dot` takes); warps a program; stages of the software pipeline over key tiles.

    Further fields follow in any order, each at most once: `#attention.schedule<block_m = 16, block_n = 64, warps = 4,
    stages = 2, splits = 8, kernels = 1>`. One that is absent is left to the passes and kernels that read it:

    - `splits`: the runs that the keys of a sequence are cut into; `flash-decoding` reads it on `attention.sdpa`.
    - `runs`: where sequences have lengths of their own, the runs of equal length that the keys of all of them together
      are cut into (a KV head), instead of `splits` each: a run may hold several sequences, or a part of one.
    - `kernels`: 2 puts splits together in a kernel of its own, 1 in the last program of the first kernel to arrive.
    - `pdl`: 1 lets a kernel start while the one before it runs, which may be that of another call, and wait for its end
      (programmatic dependent launch, NVIDIA's compute capability 9.0 and up).
    - `peel`: 1 computes the last tile of a sequence, which its end cuts off, apart from the loop over all others.
    - `transposed`: 1 lays tiles out transposed, so that logits have keys in their rows; `block_m` may be 8 then.
    - `heads`: KV heads that share a tile, in blocks of zeros beside their own: rows that a few queries leave free have
      the queries of another head, and more bytes of a key that lie together are read together. A NaN or infinity in K
      of one head reaches the others of its tile.
    - `assembly`: 1 unpacks quantised K and V by assembly for NVIDIA's GPUs, 0 by what every target of Triton's has.
    - `half`: 1 does the products of codes in f16 where a query is bf16 and f16 holds the values; 0 does them in bf16.
    - `pack`: 1 puts the query heads of a KV head into one tile, 0 gives each a program of its own.
    - `cores`: the logical cores of a NeuronCore that share a launch of an NKI kernel.
    - `keys_on_partitions`: 1 puts keys on the partitions of a tile of logits of an NKI kernel, 0 rows.
    - `sequences`: the sequences that share a tile of logits of an NKI kernel, with all of their heads.
    - `constant_strides`: 1 makes the distance between keys of K and of V a constant of the compiled kernel: a tile has
      one address and constant distances to it, not an address in registers for each piece. Triton compiles the
      kernel again for another distance.
    """

    name = "attention.schedule"

    block_m: IntAttr
    block_n: IntAttr
    warps: IntAttr
    stages: IntAttr
    options: DictionaryAttr

    REQUIRED: ClassVar = ("block_m", "block_n", "warps", "stages")

    OPTIONAL: ClassVar[Mapping[str, OptionalField]] = {
        "splits": OptionalField("1 to 65535", 1, 65535),
        "runs": OptionalField("1 to 32768", 1, 32768),
        "kernels": OptionalField("1 or 2", 1, 2),
        "pdl": OptionalField("0 or 1", 0, 1),
        "pack": OptionalField("0 or 1", 0, 1),
        "cores": OptionalField("1 or 2", 1, 2),
        "keys_on_partitions": OptionalField("0 or 1", 0, 1),
        "transposed": OptionalField("0 or 1", 0, 1),
        "heads": OptionalField("1 to 16", 1, 16),
        "assembly": OptionalField("0 or 1", 0, 1),
        "half": OptionalField("0 or 1", 0, 1),
        "sequences": OptionalField("1 to 128", 1, 128),
        "constant_strides": OptionalField("0 or 1", 0, 1),
    }
    """Fields that need not be there, in the order of printing."""

    FIELDS: ClassVar = (*REQUIRED, *OPTIONAL)

    def __init__(self, block_m: int, block_n: int, warps: int, stages: int, **options: int | None):
        """Options with None are absent. Raises `VerifyException` for values that no kernel can have."""
        if unknown := [name for name in options if name not in self.OPTIONAL]:
            raise VerifyException(f"a schedule has no {', '.join(unknown)}, expected any of: {', '.join(self.FIELDS)}")
        found = {name: IntAttr(v) for name in self.OPTIONAL if (v := options.get(name)) is not None}
        super().__init__(IntAttr(block_m), IntAttr(block_n), IntAttr(warps), IntAttr(stages), DictionaryAttr(found))

    def option(self, name: str) -> int | None:
        """The value of an optional field, None where it is absent."""
        value = self.options.data.get(name)
        return cast("IntAttr[int]", value).data if isinstance(value, IntAttr) else None

    def fields(self) -> dict[str, int]:
        """All fields that are there, in order."""
        values: dict[str, int] = {field: getattr(self, field).data for field in self.REQUIRED}
        return values | {name: value for name in self.OPTIONAL if (value := self.option(name)) is not None}

    def replace(self, **values: int | None) -> ScheduleAttr:
        """The schedule with other values of some fields; None takes an optional field away."""
        given = self.fields() | {name: value for name, value in values.items() if value is not None}
        required = [given.pop(name) for name in self.REQUIRED]
        return ScheduleAttr(*required, **{name: values.get(name, value) for name, value in given.items()})

    def verify(self) -> None:
        for field in ("block_m", "block_n"):
            value: int = getattr(self, field).data
            least = 8 if field == "block_m" and self.option("transposed") else 16
            if value < least or value & (value - 1):
                raise VerifyException(f"{field} is {value}, expected a power of two of at least {least}")
        if self.warps.data not in (1, 2, 4, 8, 16, 32):
            raise VerifyException(f"warps is {self.warps.data}, expected 1, 2, 4, 8, 16 or 32")
        if not 1 <= self.stages.data <= 8:
            raise VerifyException(f"stages is {self.stages.data}, expected 1 to 8")
        for name, allowed in self.OPTIONAL.items():
            option = self.option(name)
            if option is not None and not allowed.least <= option <= allowed.most:
                raise VerifyException(f"{name} is {option}, expected {allowed.expected}")

    def print_parameters(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string(", ".join(f"{field} = {value}" for field, value in self.fields().items()))

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> list[Attribute]:
        """The four fields that are always there in order, then optional ones."""
        values: dict[str, int] = {}
        with parser.in_angle_brackets():
            for field in cls.REQUIRED:
                if values:
                    parser.parse_punctuation(",")
                parser.parse_keyword(field)
                values[field] = cls._parse_value(parser)
            while parser.parse_optional_punctuation(",") is not None:
                position = parser.pos
                field = parser.parse_identifier(" of a field of the schedule")
                if field in values or field not in cls.OPTIONAL:
                    known = f"a schedule has no {field}, expected any of: {', '.join(cls.FIELDS)}"
                    parser.raise_error(f"{field} is given twice" if field in values else known, position)
                values[field] = cls._parse_value(parser)
        return list(cls(**values).parameters)

    @staticmethod
    def _parse_value(parser: AttrParser) -> int:
        parser.parse_punctuation("=")
        return parser.parse_integer()

    @classmethod
    def parse(cls, parser: AttrParser) -> Self:
        """A schedule without its name: `<block_m = ..>`."""
        return cls.new(cls.parse_parameters(parser))
