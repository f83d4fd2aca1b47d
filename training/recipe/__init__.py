"""How the model inside the package is made: `oko train builtin`. docs/training.md tells the steps."""
