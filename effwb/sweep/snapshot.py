"""The copy of the notebook that a sweep runs, whatever happens to the original meanwhile."""

import shutil
from pathlib import Path

from effwb._internal.checksums import Damaged, record_file, verify_file
from effwb.errors import DataError
from effwb.runs import digest


def code_digest(notebook: str | Path) -> str:
    """Return a digest of the kernel and the code cells of a notebook.

    Prose, outputs and parameters that papermill has injected do not count.
    """
    import nbformat

    content = nbformat.read(notebook, as_version=4)
    cells = [cell for cell in content.cells if cell.cell_type == "code"]
    sources = [c.source for c in cells if "injected-parameters" not in c.metadata.get("tags", [])]
    return digest([content.metadata.get("kernelspec", {}).get("name"), *sources])


def take_snapshot(notebook: str | Path, out: Path, code: str) -> Path:
    """Copy a notebook into the directory of a sweep, unless the copy is there already.

    Args:
        notebook: The notebook.
        out: Directory of the sweep.
        code: Its `code_digest`.

    Raises:
        DataError: The copy was changed.
    """
    copy = out / f"{Path(notebook).stem}-{code}.ipynb"
    if copy.exists():
        check_snapshot(copy, code)
    else:
        out.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(notebook, copy.with_suffix(".tmp"))
        copy.with_suffix(".tmp").replace(copy)
        record_file(copy)
    return copy


def check_snapshot(copy: Path, code: str) -> None:
    """Check that a copy is the notebook that the points of a sweep are to run.

    Args:
        copy: The copy.
        code: Its `code_digest`, as the points have it in their identity.

    Raises:
        DataError: It is missing or was changed.
    """
    try:
        verify_file(copy)
        if code_digest(copy) != code:
            raise Damaged("has other code than the points of this sweep")
    except Damaged as error:
        reason = str(error)
    except Exception as error:  # nbformat raises several types for a damaged notebook
        reason = f"cannot be read ({error})"
    else:
        return
    raise DataError(f"{copy} {reason}; delete it and start the sweep again to copy the notebook once more")
