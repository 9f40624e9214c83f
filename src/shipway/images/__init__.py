"""What a stage runs in: environments and images, known by digest. May import store, shells, specs and errors."""
