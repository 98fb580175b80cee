"""
Emitted files on disk, by content: `$FLASHLOWER_CACHE_DIR`, or `~/.cache/flashlower`, or a temporary directory where
neither can be written.

Compilers and `inspect` read kernels from files. A file's name is the SHA-256 of its text, so the same kernel is the
same file in every process, and Triton finds what it compiled from it before. Files are written in one step: processes
that write the same one at once do no harm. Any of them may be deleted at any time.
"""

from __future__ import annotations

import functools
import hashlib
import linecache
import os
import tempfile
from pathlib import Path
from types import ModuleType


@functools.cache
def _fallback_directory() -> Path:
    return Path(tempfile.mkdtemp(prefix="flashlower-"))


def cache_directory() -> Path:
    """Where sources are written; created if need be."""
    chosen = os.environ.get("FLASHLOWER_CACHE_DIR")
    directory = Path(chosen) if chosen else Path.home() / ".cache" / "flashlower"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        writable = os.access(directory, os.W_OK)
    except OSError:
        writable = False
    return directory if writable else _fallback_directory()


def write_source(source: str) -> Path:
    """The file `<sha256>.py` in the cache with this source, written in one step if it is not there."""
    data = source.encode()
    path = cache_directory() / f"{hashlib.sha256(data).hexdigest()}.py"
    if not path.is_file() or path.read_bytes() != data:
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
            file.write(data)
        os.replace(file.name, path)
    return path


def execute_source(source: str, suffix: str = "") -> ModuleType:
    """
    The module of an emitted file, which `write_source` writes; `suffix` ends the module's name.

    Lines are given to `linecache`: `inspect` finds them there, whatever happens to the file.
    """
    path = write_source(source)
    module = ModuleType(f"flashlower_{path.stem[:16]}{suffix}")
    module.__file__ = str(path)
    linecache.cache[str(path)] = (len(source), None, source.splitlines(keepends=True), str(path))
    exec(compile(source, path, "exec"), vars(module))
    return module
