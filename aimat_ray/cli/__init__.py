"""The command line `aimat`: one module per verb, wiring only."""
