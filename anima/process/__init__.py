"""Being a process: the skeleton every child runs in."""
