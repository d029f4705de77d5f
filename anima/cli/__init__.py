"""The command line: `animactl`, also installed as `anima`."""
