"""Whatever crosses a process boundary: frozen, versioned types and their msgpack codec."""
