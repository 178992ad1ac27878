"""The report: one HTML file, with its figures inside, that a colleague can read without this software."""

from experiments.report.build import build, table_html

__all__ = ["build", "table_html"]
