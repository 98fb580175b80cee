"""Locks in that what is in the repository is what gets installed, below the one name `flashlower`.

setuptools gets an explicit list of packages (see pyproject.toml), which a new directory is easily missing from; and
links in src/flashlower serve type checkers, which a new root directory is easily missing from.
"""

import re
import tomllib
from importlib.metadata import entry_points, packages_distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOT_PACKAGES = ("dialects", "frontends", "interpreters", "lowering", "rewrites")
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_package_is_listed() -> None:
    found = {"flashlower"}
    for top in ROOT_PACKAGES:
        found |= {
            "flashlower." + ".".join(init.parent.relative_to(ROOT).parts) for init in (ROOT / top).rglob("__init__.py")
        }
    assert found == set(SETTINGS["tool"]["setuptools"]["packages"])


def test_every_directory_with_code_is_a_package() -> None:
    for top in ROOT_PACKAGES:
        for file in (ROOT / top).rglob("*.py"):
            assert (file.parent / "__init__.py").exists(), f"{file.parent} has code but no __init__.py"


def test_links_for_type_checkers() -> None:
    for top in ROOT_PACKAGES:
        assert (ROOT / "src" / "flashlower" / top).resolve() == ROOT / top
        assert f"src/flashlower/{top}" in SETTINGS["tool"]["pyright"]["include"]


def test_no_stray_top_level_names() -> None:
    for name in ROOT_PACKAGES:
        assert "flashlower" not in packages_distributions().get(name, [])


def test_the_plugin_is_found() -> None:
    assert "flashlower" in {plugin.name for plugin in entry_points(group="xdsl.universe")}


def test_ci_runs_the_test_command_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"<!-- test command -->\n```sh\n(.+?)\n```", readme, re.DOTALL)
    assert "make test" in command
    assert "<!-- test command -->" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_core_needs_no_framework() -> None:
    for requirement in SETTINGS["project"]["dependencies"]:
        assert not re.match(r"(torch|jax|onnx)", requirement)
