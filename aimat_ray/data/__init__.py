"""Measured alloys: compositions, element table, tables of measurements, splits, windows."""
