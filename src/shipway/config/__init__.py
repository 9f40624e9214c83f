"""The user's files become a `Project`, or one list of clear faults. May import specs and errors."""
