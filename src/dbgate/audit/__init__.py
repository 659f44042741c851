"""Transcripts: records, hash chain, seal, spool, buckets, shipping, verification, replay.

Knows nothing of SQL, policies or terminals other than how to play a recording.
"""
