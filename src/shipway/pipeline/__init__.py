"""Make the model: plan, keys, engine. Knows the ports (base.py) of backends, tracking, journal and images, never an adapter."""
