"""Conformance suites and fakes, shipped for plugin authors."""
