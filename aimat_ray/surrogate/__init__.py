"""Surrogate models of alloy properties, with intervals and a domain of validity."""
