"""Log lines: one event, one line, one shape."""
