"""The Python API, and the only place that wires configuration to adapters. May import everything but the faces (cli, web)."""
