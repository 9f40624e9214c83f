"""The command line: parse, call `shipway.app`, print."""
