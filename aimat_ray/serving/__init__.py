"""The Serve deployment of the surrogate and, later, its HTTP face."""
