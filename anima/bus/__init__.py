"""Talking to others: append, follow, ask, serve and whisper over ZeroMQ, or in one process."""
