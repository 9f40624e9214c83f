"""Ship the model: gate, register, pack, roll out, verify. Knows ports, never an adapter."""
