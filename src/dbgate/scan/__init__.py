"""What the columns of a database may hold: proposals for a policy's `classify`, from names, comments and samples.

Pure: catalog and sampled text in, findings out. It reads no database itself and must never put a value into a finding,
an error or a representation of one. `sampling` says what to read, `weighing` what it means, `coverage` what of it is new.
"""
