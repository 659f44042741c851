"""Policies: their values, how they are read from YAML, and how rules and globs match.

Pure: text in, values or `DocumentError` out.
"""
