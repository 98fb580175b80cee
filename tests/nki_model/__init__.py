"""Running NKI source in tests: on Amazon's `nki.simulate` where Neuron's package is installed, else on the model here.

    with nki_model.on_target("trn2"):
        result = nki_model.run(source, "decode", q, k, v, cores=2)

`FLASHLOWER_NKI=model` takes the model even where Neuron's package is installed.
"""

import functools
import importlib
import importlib.util
import itertools
import linecache
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

FOLDER = Path(__file__).parent
TARGETS = ("trn1", "trn2", "trn3")
_VARIABLE = "NEURON_PLATFORM_TARGET_OVERRIDE"

_numbers = itertools.count()


@functools.cache
def _sources() -> tempfile.TemporaryDirectory[str]:
    """Where kernels lie while this process runs."""
    return tempfile.TemporaryDirectory(prefix="nki_source_")


def _neuron_is_installed() -> bool:
    """Is a package `nki` installed that has instructions? The one on PyPI is an empty placeholder."""
    paths = [path for path in sys.path if Path(path or ".").resolve() != FOLDER]
    spec = PathFinder.find_spec("nki", paths)
    places = [Path(place) for place in (spec.submodule_search_locations or [])] if spec else []
    return any((place / "isa").exists() or list(place.glob("isa.*")) for place in places)


def nki() -> ModuleType:
    """The module `nki`: Neuron's if it is installed and simulates, else the model."""
    loaded = sys.modules.get("nki")
    if loaded is not None and hasattr(loaded, "simulate"):
        return loaded
    if os.environ.get("FLASHLOWER_NKI") != "model" and _neuron_is_installed():
        found = importlib.import_module("nki")
        if hasattr(found, "simulate"):
            return found
    sys.modules.pop("nki", None)
    if str(FOLDER) not in sys.path:
        sys.path.insert(0, str(FOLDER))
    importlib.invalidate_caches()
    return importlib.import_module("nki")


def is_model() -> bool:
    """Do kernels run on the model?"""
    return hasattr(nki(), "IS_FLASHLOWER_MODEL")


@contextmanager
def on_target(name: str) -> Iterator[None]:
    """The machine that kernels run on: trn1, inf2, trn2 or trn3."""
    before = os.environ.get(_VARIABLE)
    os.environ[_VARIABLE] = name
    try:
        yield
    finally:
        if before is None:
            del os.environ[_VARIABLE]
        else:
            os.environ[_VARIABLE] = before


def load(source: str) -> ModuleType:
    """A module with this source: from a file for Neuron's compiler, which reads it; the model needs none."""
    number = next(_numbers)
    if is_model():
        name = f"<kernel {number}>"
        linecache.cache[name] = (len(source), None, source.splitlines(True), name)
        module = ModuleType("kernel")
        exec(compile(source, name, "exec"), vars(module))
        return module
    path = Path(_sources().name) / f"kernel_{number}.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location("kernel", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(source: str, function: str, *args: Any, cores: int | None = None, **options: Any) -> Any:
    """Call a kernel of this source on NumPy arrays."""
    kernel = getattr(load(source), function)
    simulated = nki().simulate(kernel if cores is None else kernel[cores])
    return simulated(*args, **options)
