"""Keeping others alive. Standard library only; opens no ZeroMQ socket and starts no thread."""
