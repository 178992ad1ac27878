"""Files that a command writes for its user: new ones only, and complete or not there at all."""

from __future__ import annotations

import os
from pathlib import Path

from models.errors import InputError


def refuse_existing(path: Path) -> None:
    """InputError where there is a file or folder of that name already."""
    if path.exists():
        raise InputError(f"--out {path}", "there is something already", "name a new file; nothing is overwritten")


def write_new(path: Path, text: str) -> None:
    """Write a new file; InputError where there is one already, or where it cannot be written."""
    refuse_existing(path)
    unfinished = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        unfinished.write_text(text, encoding="utf-8", newline="")
        os.replace(unfinished, path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise InputError(f"--out {path}", f"cannot be written ({error.strerror})", "name another file") from error
