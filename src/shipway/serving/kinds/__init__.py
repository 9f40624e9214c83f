"""One module for each kind of model file; each imports its library late, in the function that loads."""
