"""Which `nki` the tests run on: Neuron's where it is installed, never the empty placeholder on PyPI, else the model."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
SCRIPT = "import nki_model; print(nki_model.is_model(), hasattr(nki_model.nki(), 'isa'))"
NEURON = "from nki import isa, language\n\ndef simulate(kernel):\n    return kernel\n"


@pytest.mark.parametrize(
    ("files", "forced", "model"),
    [
        ({"__init__.py": ""}, "", True),
        ({"__init__.py": NEURON, "isa/__init__.py": "", "language/__init__.py": ""}, "", False),
        ({"__init__.py": NEURON, "isa/__init__.py": "", "language/__init__.py": ""}, "model", True),
    ],
)
def test_which_package(tmp_path: Path, files: dict[str, str], forced: str, model: bool) -> None:
    for name, text in files.items():
        path = tmp_path / "nki" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{TESTS}", "FLASHLOWER_NKI": forced}
    run = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.split() == [str(model), "True"]
