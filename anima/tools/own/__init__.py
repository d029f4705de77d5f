"""Tools an agent uses on itself and on its own time."""
