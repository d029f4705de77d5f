"""Who an agent is, in numbers: a matrix of gains that experience changes, slowly and for stated reasons."""
