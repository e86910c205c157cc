"""Methods without learning on the same environment: controls, labels, and a tool of their own."""
