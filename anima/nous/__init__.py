"""The cortex: model providers and what they are asked."""
