"""How argv is run, here or there. May import specs and errors; knows nothing of jobs."""
