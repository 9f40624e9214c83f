"""Shipway takes a change of code or data to a served model, on the compute you already have."""

__version__ = "0.1.0"
