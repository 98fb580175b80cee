"""`flashlower.compile`: a module in, kernels that can be read, saved and called out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import VerifyException

from flashlower.dialects.attention import ScheduleAttr
from flashlower.dialects.building import building
from flashlower.dialects.nki.types import PARTITIONS
from flashlower.dialects.parsing import as_module, make_context
from flashlower.lowering.nki.convert import DEFAULT_NKI_TARGET, ConvertAttentionToNkiPass
from flashlower.lowering.nki.printer import print_module as print_nki
from flashlower.lowering.nki.runtime import Launch, signatures
from flashlower.lowering.nki.schedule import STEP_KEYS
from flashlower.lowering.triton.convert import ConvertAttentionToTritonPass
from flashlower.lowering.triton.launcher_printer import printable_functions
from flashlower.lowering.triton.printer import print_module
from flashlower.lowering.triton.runtime import Launcher, launcher_of
from flashlower.lowering.triton.workspace import workspace_size
from flashlower.rewrites.flash_decoding import FlashDecodingPass
from flashlower.rewrites.fuse_attention import FuseAttentionPass
from flashlower.rewrites.infer_bounds import InferAttentionBoundsPass
from flashlower.rewrites.outline_attention import OutlineAttentionPass
from flashlower.rewrites.schedule import ScheduleAttentionPass
from flashlower.rewrites.schedule.targets import DEFAULT_TARGET

TARGETS = ("triton", "nki")
"""What `flashlower.compile` can compile to."""


@dataclass(frozen=True)
class Kernel:
    """
    Compiled attention functions of a module.

    Calling it runs its entry function: `main`, or else the only function. Arguments are tensors in the order of the
    function's arguments, all NumPy arrays or all torch tensors, with the shapes and dtypes of its type; the result is a
    tensor of the same kind, or a tuple where the function has several results. Torch tensors on a GPU run there;
    NumPy arrays and CPU tensors run in Triton's interpreter.
    """

    source: str
    """The emitted file: kernels and launch functions, in Python, standing alone."""
    stages: Mapping[str, str]
    """IR after each pass, by the name of the pass; `input` is the module as it came in."""
    functions: tuple[str, ...]
    """Names of the functions that can be called."""
    obstacles: Mapping[str, str] = field(default_factory=dict[str, str])
    """For each function that cannot be called, the operation that stands in the way."""
    workspace_sizes: Mapping[str, int] = field(default_factory=dict[str, int])
    """For each function of static sizes, the bytes that it needs besides its results."""
    launch: Callable[[str, str, Sequence[Any]], Any] | None = None
    """Runs a function of the source on arguments, where it is not Triton."""

    def __call__(self, *args: Any, function: str | None = None, out: Any = None, workspace: Any = None) -> Any:
        """
        Runs a function, the entry function by default.

        `out` is where results are written: a tensor, or a tuple of tensors where the function has several results,
        with None for what is to be allocated. `workspace` is a contiguous tensor of any dtype with at least
        `workspace_size()` bytes, for what lies between kernels; with it and `out` for every result, nothing is
        allocated. Its contents do not matter, and calls that follow each other on one stream may share it.

        Raises `TypeError` and `ValueError` for arguments of wrong number, dtype, shape or device, and an `ImportError`
        that says so where Triton is not installed.
        """
        name = self.entry if function is None else self._checked(function)
        if self.launch is not None:
            if out is not None or workspace is not None:
                raise TypeError("an NKI kernel allocates its results: call it without out and workspace")
            return self.launch(self.source, name, args)
        if workspace is not None and name not in self.workspace_sizes:
            self.workspace_size(name)
        return self.launcher(name)(args, out=out, workspace=workspace)

    def launcher(self, function: str) -> Launcher:
        """What runs a function of the source through Triton."""
        found = self._launchers.get(function)
        if found is None:
            found = launcher_of(self.source, function, self.workspace_sizes.get(function, 0))
            self._launchers[function] = found
        return found

    @cached_property
    def _launchers(self) -> dict[str, Launcher]:
        return {}

    def workspace_size(self, function: str | None = None) -> int:
        """
        The bytes that a function, the entry function by default, needs besides its results.

        Raises `ValueError` where they are not known before a call: with dynamic sizes, and for a function of calls.
        """
        name = self.entry if function is None else self._checked(function)
        if name not in self.workspace_sizes:
            raise ValueError(f"@{name} has dynamic sizes or calls other functions: it takes no workspace")
        return self.workspace_sizes[name]

    @cached_property
    def entry(self) -> str:
        """The function that a call runs. Raises `ValueError` where there is none or several."""
        if "main" in self.functions or "main" in self.obstacles:
            return self._checked("main")
        if len(self.functions) != 1:
            names = ", ".join(f"@{name}" for name in self.functions) or "none"
            raise ValueError(f"the module has no function main; its kernels are: {names} (call one by function=...)")
        return self.functions[0]

    def _checked(self, name: str) -> str:
        if name in self.functions:
            return name
        kernels = ", ".join(f"@{kernel}" for kernel in self.functions) or "none"
        if name in self.obstacles:
            raise ValueError(
                f"@{name} is more than attention ({self.obstacles[name]}): call one of its kernels ({kernels}) by "
                "function=..., or run the whole module with flashlower.interpret"
            )
        raise ValueError(f"the module has no function {name!r}; its kernels are: {kernels}")

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the source to a file, which runs without flashlower."""
        target = Path(path)
        target.write_text(self.source, encoding="utf-8")
        return target


def run_passes(module: ModuleOp, passes: list[ModulePass], ctx: Context) -> dict[str, str]:
    """Runs passes, verifying after each; returns the IR after each by the name of the pass."""
    stages = {"input": str(module)}
    for module_pass in passes:
        module_pass.apply(ctx, module)
        try:
            module.verify()
        except VerifyException as e:
            raise VerifyException(f"after {module_pass.name}: {e}") from e
        stages[module_pass.name] = str(module)
    return stages


@building
def compile(
    module: ModuleOp | str,
    target: Literal["triton", "nki"] = "triton",
    *,
    splits: int | Literal["auto"] = "auto",
    hardware: str | None = None,
    schedule: Mapping[str, int] | None = None,
    cores: int = 1,
) -> Kernel:
    """
    Compiles the attention of a module: StableHLO in generic form, attention IR, or both, as text or as a `ModuleOp`.

    `splits` is the number of splits of flash decoding, or "auto" for the cost model's choice; `hardware` is the GPU
    that schedules are chosen for (h100, h200, a100, mi300x); `schedule` replaces parts of that choice, by the names of
    `#attention.schedule`: `{"block_n": 64, "warps": 4}`. The given module stays as it is.

    For `target="nki"`, `hardware` is trn1 (and inf2), trn2 or trn3, and `cores` the logical cores of a launch, 1 or 2;
    NKI kernels run where Amazon's Neuron package is installed.

    Raises `ValueError` for an unknown target, part of a schedule or number of cores, and xDSL's `DiagnosticException`
    for modules that cannot be read or lowered; the message says what and where.
    """
    if target not in TARGETS:
        raise ValueError(f"target is {target!r}, expected one of: {', '.join(TARGETS)}")
    if unknown := [name for name in schedule or {} if name not in ScheduleAttr.FIELDS]:
        fields = ", ".join(ScheduleAttr.FIELDS)
        raise ValueError(f"a schedule has no {', '.join(unknown)}, expected any of: {fields}")
    for name, value in (schedule or {}).items():
        if not isinstance(value, int):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError(f"{name} of the schedule is {value!r}, expected a whole number")
    if cores not in ((1, 2) if target == "nki" else (1,)):
        expected = "1 or 2" if target == "nki" else "1: it is for NKI kernels"
        raise ValueError(f"cores is {cores!r}, expected {expected}")
    lowered = as_module(module)
    if hardware is None:
        hardware = DEFAULT_NKI_TARGET if target == "nki" else DEFAULT_TARGET
    if target == "nki":
        return compile_nki(lowered, splits, hardware, cores, schedule or {})
    stages = run_passes(
        lowered,
        [
            FuseAttentionPass(),
            OutlineAttentionPass(),
            InferAttentionBoundsPass(),
            ScheduleAttentionPass(target=hardware, **(schedule or {})),
            FlashDecodingPass(splits=splits, target=hardware),
            ConvertAttentionToTritonPass(target=hardware),
        ],
        make_context(),
    )
    found = printable_functions(op for op in lowered.ops if isinstance(op, FuncOp))
    return Kernel(
        print_module(lowered),
        stages,
        tuple(f.sym_name.data for f, obstacle in found.items() if obstacle is None),
        {f.sym_name.data: obstacle for f, obstacle in found.items() if obstacle is not None},
        {
            f.sym_name.data: size
            for f, obstacle in found.items()
            if obstacle is None and (size := workspace_size(f)) is not None
        },
    )


def compile_nki(
    module: ModuleOp, splits: int | Literal["auto"], hardware: str, cores: int, schedule: Mapping[str, int]
) -> Kernel:
    """Compiles the attention of a module, which it changes, to NKI kernels."""
    context = make_context()
    cores = schedule.get("cores", cores)
    # One core gains nothing from splits; two get them where heads alone do not occupy both.
    no_splits = splits == "auto" and cores == 1 and "splits" not in schedule
    passes: list[ModulePass] = [FuseAttentionPass(), OutlineAttentionPass(), InferAttentionBoundsPass()]
    if schedule:
        # As many rows and keys as there can be, where the schedule does not say.
        most = {"block_m": PARTITIONS, "block_n": STEP_KEYS}
        passes.append(ScheduleAttentionPass(target=DEFAULT_TARGET, **{**most, **schedule}))
    passes.append(FlashDecodingPass(splits=1 if no_splits else splits, cores=cores))
    stages = run_passes(module, passes, context)
    names = signatures(module)
    callers = [op.sym_name.data for op in module.ops if isinstance(op, FuncOp) and op.sym_name.data not in names]
    stages |= {**run_passes(module, [ConvertAttentionToNkiPass(target=hardware, cores=cores)], context), **stages}
    obstacles = dict.fromkeys(callers, "it calls kernels, which an NKI file holds alone")
    launch = Launch(names, hardware, cores)
    return Kernel(print_nki(module), stages, tuple(names), obstacles, launch=launch)
