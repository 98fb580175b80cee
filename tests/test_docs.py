"""Locks in that the documentation shows what the commands in it print, and links only to files that exist.

IR and kernels in docs/ come from real runs; a change of a printer or a pass must show there too (`make docs`).
"""

import re

import pytest
from doc_blocks import ROOT, DocBlock, blocks, pages


@pytest.mark.parametrize("block", list(blocks()), ids=lambda b: f"{b.page.name}:{b.command[:60]}")
def test_block_is_what_its_command_prints(block: DocBlock) -> None:
    assert block.output() == block.text, f"{block.page.name} is out of date: run `make docs`"


def test_there_are_blocks() -> None:
    assert len(list(blocks())) >= 8


def test_links_lead_somewhere() -> None:
    for page in [*pages(), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]:
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)\s]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which does not exist"
