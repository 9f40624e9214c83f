"""Where content lies: objects, trees, keys and refs (idea 2). May import specs and errors only."""
