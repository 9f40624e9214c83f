"""
The nouns: frozen records and closed sets, no I/O, no defaults from the environment, no adapter's name.

They are `msgspec.Struct`s, so one definition is the record in memory, its stored form and its decoder (ADR 0002).
"""
