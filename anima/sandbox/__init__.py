"""The hands: the only part that runs what a model asked for, each call in a jail of its own."""
