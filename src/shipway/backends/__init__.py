"""Where jobs run. `base.py` is the port, the other modules are adapters. May import store, shells, specs and errors."""
