"""Serves one model over HTTP. Ships alone inside the model's bundle: imports errors and specs only, and nothing imports it."""
