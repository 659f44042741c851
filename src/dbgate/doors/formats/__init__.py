"""How results look: table, csv, json, ndjson, markdown.

A format is a `Writer` that gets columns, batches of rows and an end, and streams them. It never keeps more than
a batch (the table: 1,000 rows to find its widths), and knows nothing of sessions, prompts and pagers.
"""

from dbgate.doors.formats.interface import FORMATS, Batch, Writer
from dbgate.doors.formats.opening import open_writer
from dbgate.doors.formats.result import masked_names, write_result
from dbgate.doors.formats.sink import Sink

__all__ = ["FORMATS", "Batch", "Sink", "Writer", "masked_names", "open_writer", "write_result"]
