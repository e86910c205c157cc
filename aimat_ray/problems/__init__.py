"""Built-in design problems, one YAML file each."""
