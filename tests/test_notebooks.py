"""Every notebook runs from top to bottom, and says what it said when it was stored."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parent.parent / "experiments" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_runs_and_is_up_to_date(path):
    stored = nbformat.read(path, as_version=4)
    fresh = nbformat.read(path, as_version=4)
    NotebookClient(fresh, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}).execute()
    assert printed(fresh) == printed(stored)
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
