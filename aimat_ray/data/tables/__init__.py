"""Packaged element data; `sources.yaml` names the source of every column."""
