"""dbgate: a bastion shell for databases."""

__version__ = "0.1.0"
