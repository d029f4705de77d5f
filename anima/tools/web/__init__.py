"""Tools that reach the network, all of them through one guard."""
