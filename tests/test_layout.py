"""The shape of the project: imports point one way, what must start fast is light, nothing shadows its packages."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("models", "inference", "experiments")
NOTEBOOKS = ROOT / "experiments" / "notebooks"  # cells and their builder, which no installation has
FILES = {
    str(path.relative_to(ROOT)): path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
    if NOTEBOOKS not in path.parents
}

# What lies at the top, and nothing else.
TOP = {
    *PACKAGES,
    "configs",
    "tests",
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "constraints.txt",
    "pyproject.toml",
    ".ci",
    ".github",
    ".gitignore",
}

# What each package must not import: whatever stands after it in the direction models -> inference -> experiments.
FORBIDDEN = {"models": {"inference", "experiments"}, "inference": {"experiments"}, "experiments": set()}

# Slow to import (0.2 to 3 seconds each), so never at the top of a module that the command line loads to say `--help`.
SLOW = {"torch", "pyro", "arviz", "arviz_stats", "arviz_base", "xarray", "pandas", "matplotlib", "formulaic", "scipy"}
LIGHT = sorted(
    {name for name in FILES if name.startswith("models/") and "/distributions/" not in name}
    | {
        "inference/__init__.py",
        "inference/settings.py",
        "inference/posterior.py",
        "inference/progress.py",
        "inference/arviz_bridge.py",
        "experiments/__init__.py",
        "experiments/cli.py",
        "experiments/config.py",
        "experiments/datasets.py",
        "experiments/predictions.py",
        "experiments/starters.py",
        "experiments/results.py",
        "experiments/yaml_source.py",
    }
)


def imported(tree: ast.AST) -> Iterator[str]:
    """Every module that a piece of code imports, by full name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import; write the package's name"
            yield node.module or ""


def imported_on_loading(tree: ast.Module) -> Iterator[str]:
    """Modules imported when the file itself is: outside functions, and outside `if TYPE_CHECKING`."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from imported(node)
        else:
            waiting += ast.iter_child_nodes(node)


def top(module: str) -> str:
    return module.split(".")[0]


@pytest.mark.parametrize("name", FILES)
def test_imports_point_one_way(name):
    forbidden = FORBIDDEN[name.split("/")[0]]
    assert not {module for module in imported(ast.parse(FILES[name].read_text())) if top(module) in forbidden}


@pytest.mark.parametrize("name", FILES)
def test_only_the_bridge_imports_arviz(name):
    found = {module for module in imported(ast.parse(FILES[name].read_text())) if top(module).startswith("arviz")}
    assert bool(found) == (name == "inference/arviz_bridge.py")


@pytest.mark.parametrize("name", LIGHT)
def test_what_the_command_line_loads_is_light(name):
    assert not {top(module) for module in imported_on_loading(ast.parse(FILES[name].read_text()))} & SLOW


def test_the_readers_of_imports_see_what_they_must():
    code = """
import torch.nn
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import pandas
else:
    import scipy
class A:
    import formulaic
    def f(self):
        import pyro
try:
    from matplotlib import pyplot
except ImportError:
    pass
"""
    everything = {"torch.nn", "typing", "pandas", "scipy", "formulaic", "pyro", "matplotlib"}
    assert set(imported(ast.parse(code))) == everything
    assert set(imported_on_loading(ast.parse(code))) == everything - {"pandas", "pyro"}


@pytest.mark.parametrize("door", ["experiments.cli", "experiments.config", "inference.arviz_bridge"])
def test_a_door_opens_without_slow_imports(door):
    """The same promise as above, kept by what really happens, whatever the chain of imports."""
    code = f"import sys, {door}; print(*sorted({SLOW!r} & set(sys.modules)))"
    command = [sys.executable, "-W", "error", "-c", code]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split() == []


def test_only_known_names_lie_at_the_top():
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    found = {file.split("/")[0] for file in files if file}
    assert found == TOP


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_shadows_our_packages(package):
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.origin == str(ROOT / package / "__init__.py")
    owners = importlib.metadata.packages_distributions().get(package, ["pyrozoo"])
    assert set(owners) == {"pyrozoo"}


def test_every_folder_of_code_is_a_package():
    """A folder without `__init__.py` would be left out of an installation."""
    missing = {path.parent for path in FILES.values() if not (path.parent / "__init__.py").exists()}
    assert missing == set()
