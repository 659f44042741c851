"""The configuration file: reading, validating, and finding the files it names.
"""
