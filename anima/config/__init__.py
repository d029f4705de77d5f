"""Settings: one schema, every option declared once."""
