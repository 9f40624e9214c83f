"""Where runs and models are shown to people. `base.py` holds the ports, the other modules are adapters. May import store, specs and errors."""
