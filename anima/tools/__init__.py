"""What an agent can do: tools as plain functions that run inside a jailed child, and the one door they are called through."""
