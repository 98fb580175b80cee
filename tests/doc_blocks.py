"""
Output of commands in the documentation, kept true.

A block in README.md or docs/ that follows `<!-- run: COMMAND -->` is what COMMAND prints when it is run at the root of
the repository. `python tests/doc_blocks.py --update` (or `make docs`) writes the blocks anew; test_docs.py compares.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"<!-- run: (?P<command>.+?) -->\n(?P<fence>```\w*)\n(?P<text>.*?)\n?```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class DocBlock:
    """A block of a page and the command that prints it."""

    page: Path
    command: str
    text: str

    def output(self) -> str:
        """What the command prints now. Raises `CalledProcessError` where it fails."""
        bin_directory = os.path.dirname(sys.executable)
        environment = {**os.environ, "PATH": bin_directory + os.pathsep + os.environ["PATH"], "COLUMNS": "100"}
        run = subprocess.run(
            ["bash", "-o", "pipefail", "-c", self.command],
            cwd=ROOT,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
        return run.stdout.rstrip()


def pages() -> list[Path]:
    """README.md and the pages of docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks() -> Iterator[DocBlock]:
    """Every block that a command prints."""
    for page in pages():
        for match in BLOCK.finditer(page.read_text(encoding="utf-8")):
            yield DocBlock(page, match["command"], match["text"])


def update() -> None:
    """Writes what the commands print now into the pages."""
    for page in pages():
        text = page.read_text(encoding="utf-8")

        def anew(match: re.Match[str], page: Path = page) -> str:
            output = DocBlock(page, match["command"], "").output()
            return f"<!-- run: {match['command']} -->\n{match['fence']}\n{output}\n```"

        page.write_text(BLOCK.sub(anew, text), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] != ["--update"]:
        sys.exit("usage: python tests/doc_blocks.py --update")
    update()
