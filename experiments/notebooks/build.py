"""Builds the notebooks: `cells/NAME.py`, executed, becomes `NAME.ipynb`, the same bytes each time on one machine.

In a file of cells, the docstring is the first cell; `# %% [markdown]` begins a cell of prose (its lines commented out),
`# %%` one of code. Run `make notebooks`, or this file with the names of some notebooks.
"""

from __future__ import annotations

import ast
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
CELLS = FOLDER / "cells"
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
MARKER = re.compile(r"^# %%(?P<prose> \[markdown\])?[ ]*\n", re.MULTILINE)


def read_cells(text: str) -> list[tuple[str, str]]:
    """The cells of a file, `markdown` or `code` and its source; ValueError where it has another shape."""
    story = ast.get_docstring(ast.parse(text))
    first = MARKER.search(text)
    if story is None or first is None:
        raise ValueError("a file of cells begins with a docstring, and has a line `# %%`")
    if len(ast.parse(text[: first.start()]).body) != 1:
        raise ValueError("before the first `# %%` stands the docstring alone")
    found = [("markdown", story)]
    marks = list(MARKER.finditer(text))
    for mark, end in zip(marks, [mark.start() for mark in marks[1:]] + [len(text)], strict=True):
        source = text[mark.end() : end].strip("\n")
        if mark["prose"]:
            lines = source.splitlines()
            if not all(line.startswith("#") for line in lines):
                raise ValueError(f"prose must stand behind `#`, got {source!r}")
            found.append(("markdown", "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines)))
        else:
            found.append(("code", source))
    return found


def notebook(text: str) -> Any:
    """A file of cells as a notebook without outputs."""
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    make = {"markdown": new_markdown_cell, "code": new_code_cell}
    cells = [make[kind](source, id=f"cell-{place}") for place, (kind, source) in enumerate(read_cells(text))]
    return new_notebook(cells=cells, metadata={"kernelspec": KERNEL})


def execute(found: Any) -> Any:
    """The notebook with its outputs, but without what differs from run to run: times, versions, addresses."""
    from nbclient import NotebookClient

    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")  # as many threads, as many different last digits
    NotebookClient(found, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}).execute()
    found.metadata.pop("language_info", None)
    for cell in found.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not is_address(output)]
    return found


def is_address(output: Any) -> bool:
    """Whether a cell's value is shown as `<matplotlib.legend.Legend at 0x7f...>` alone."""
    shown = output.get("data", {})
    return set(shown) == {"text/plain"} and re.search(r" at 0x[0-9a-f]+>", shown["text/plain"]) is not None


def build(name: str) -> Path:
    """Write `NAME.ipynb`; ValueError where its outputs name a place on this machine."""
    import nbformat

    text = nbformat.writes(execute(notebook((CELLS / f"{name}.py").read_text(encoding="utf-8")))) + "\n"
    for place in (FOLDER.parent.parent, tempfile.gettempdir(), Path.home()):
        if f"{place}/" in text:
            raise ValueError(f"{name}: an output names {place}; do not print paths")
    path = FOLDER / f"{name}.ipynb"
    path.write_text(text, encoding="utf-8")
    return path


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(path.stem for path in CELLS.glob("*.py")):
        print(build(name).name)
