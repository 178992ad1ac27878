"""Every notebook is what its cells make, runs from top to bottom, and says what it said when it was stored."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import nbformat
import pytest

from models import FAMILIES

FOLDER = Path(__file__).parent.parent / "experiments" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

spec = importlib.util.spec_from_file_location("build_notebooks", FOLDER / "build.py")
assert spec is not None and spec.loader is not None
builder = importlib.util.module_from_spec(spec)
spec.loader.exec_module(builder)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_runs_and_is_up_to_date(path):
    stored = nbformat.read(path, as_version=4)
    fresh = builder.notebook((FOLDER / "cells" / f"{path.stem}.py").read_text())
    assert [(cell.cell_type, cell.source) for cell in fresh.cells] == [
        (cell.cell_type, cell.source) for cell in stored.cells
    ], "run `make notebooks`"
    assert printed(builder.execute(fresh)) == printed(stored)
    assert any(printed(fresh))


def printed(notebook: nbformat.NotebookNode) -> list[str]:
    """What each code cell prints, without the sizes that xarray tells of in each version's own way."""
    return [
        "".join(
            output.text for output in cell.outputs if output.output_type == "stream" and "xarray" not in output.text
        )
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def test_there_is_a_notebook_for_every_family():
    assert {path.stem for path in NOTEBOOKS} == {path.stem for path in (FOLDER / "cells").glob("*.py")} == set(FAMILIES)


def test_cells_are_read_as_they_are_written():
    text = (
        '"""# A title\n\nAnd prose."""\n\n# %%\nx = 1\n\nx\n# %% [markdown]\n# ## Why\n#\n# Because.\n# %%\nprint(x)\n'
    )
    assert builder.read_cells(text) == [
        ("markdown", "# A title\n\nAnd prose."),
        ("code", "x = 1\n\nx"),
        ("markdown", "## Why\n\nBecause."),
        ("code", "print(x)"),
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("# %%\nx = 1\n", "begins with a docstring"),
        ('"""A title."""\nx = 1\n', "has a line `# %%`"),
        ('"""A title."""\nx = 1\n# %%\nx\n', "the docstring alone"),
        ('"""A title."""\n# %% [markdown]\nprose\n', "must stand behind `#`"),
    ],
)
def test_a_file_of_another_shape_is_refused(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        builder.read_cells(text)


def test_a_notebook_has_neither_addresses_nor_times():
    text = '"""A title."""\n# %%\nclass Thing: ...\n\nThing()\n# %%\nprint("seen")\n# %%\n6 * 7\n'
    done = builder.execute(builder.notebook(text))
    outputs = [
        [output.get("text") or output["data"]["text/plain"] for output in cell.outputs] for cell in done.cells[1:]
    ]
    assert outputs == [[], ["seen\n"], ["42"]]
    assert [dict(cell.metadata) for cell in done.cells] == [{}] * 4
    assert set(done.metadata) == {"kernelspec"}
    assert [cell.id for cell in done.cells] == ["cell-0", "cell-1", "cell-2", "cell-3"]
