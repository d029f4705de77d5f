"""How a house of agents works: the parts of anima, in layers. What runs, and when, stands in the `daemons` package."""

__version__ = "0.1.0"
