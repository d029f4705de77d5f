"""all-MiniLM-L6-v2: its data, and how it is run."""
