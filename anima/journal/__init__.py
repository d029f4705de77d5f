"""Every fact, stored once and told to all."""
