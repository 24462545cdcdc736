"""nbgrader's execution step, replaced: formgrader's Autograde button runs the sandboxed grader, too."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbconvert.exporters.exporter import ResourcesDict
from nbconvert.preprocessors import Preprocessor
from nbformat import NotebookNode
from nbgrader.preprocessors import NbGraderPreprocessor

from .assignment import grade_id, role, with_own_cells
from .clean import clean
from .course import Course
from .handin import read_notebook
from .marking import mark
from .sandbox import standing


class MarkersPage(Preprocessor):
    """What formgrader shows of a submission: harmless, and with the rubric above the written answer."""

    def preprocess(self, nb: NotebookNode, resources: ResourcesDict) -> tuple[NotebookNode, ResourcesDict]:
        nb = clean(nb)
        shown: list[NotebookNode] = []
        for cell in nb.cells:
            if grade_id(cell) == "checks":
                continue
            in_formgrader = "submission_id" in resources  # on no page for students
            if in_formgrader and role(cell) == "written":
                rubric = Course(Path.cwd()).rubric(str(resources.get("assignment_id")))
                if rubric.is_file():
                    made = nbformat.v4.new_markdown_cell(rubric.read_text(encoding="utf-8"))
                    # Above the student's own cells, too: a photograph stays with its text.
                    shown.insert(with_own_cells([*shown, cell], len(shown)).start, made)
            if cell.cell_type == "code":
                cell.metadata["alt"] = "a picture of the student's"
            shown.append(cell)
        nb.cells = shown
        return nb, resources


class SandboxedExecute(NbGraderPreprocessor):
    """Carry the answers into the master, run them inside the walls, judge them outside.

    Stands in the place of nbgrader's OverwriteCells and Execute (`nbgrader_config.py` of a class names it).
    """

    def preprocess(self, nb: NotebookNode, resources: ResourcesDict) -> tuple[NotebookNode, ResourcesDict]:
        it = resources["nbgrader"]
        course = Course(Path(it["db_url"].removeprefix("sqlite:///")).parent)
        master = nbformat.read(course.master(it["assignment"]), as_version=4)
        handed = read_notebook(nbformat.writes(nb).encode())
        with standing() as sandbox:
            found = mark(master, handed, sandbox, key=course.key, name=it["assignment"])
        for note in found.notes:
            self.log.warning("%s: %s", it["student"], note)
        return clean(found.notebook), resources
