"""What can go wrong with one request, in the data plane's words; the HTTP layer alone knows status codes."""

from shipway.errors import ShipwayError


class InvalidInputError(ShipwayError):
    """The request does not say something that this model can answer; nothing was run, or the model itself refused the values."""


class ModelError(ShipwayError):
    """The model failed on an input that looked right; the traceback goes to the log, never to the caller."""
