"""The jail: one child per call, held by what the kernel has. `jails.Jails` is the door, `spec` the words."""
