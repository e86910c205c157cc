"""Figures and self-contained HTML pages of a run."""
