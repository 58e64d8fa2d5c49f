"""A notebook as one module with a cell map, and back: byte for byte where nothing changed."""

from ga_lint.notebook.read import SUFFIX, Broken, NotebookSource, read_notebook, read_text

__all__ = ["SUFFIX", "Broken", "NotebookSource", "read_notebook", "read_text"]
