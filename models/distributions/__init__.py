"""Distributions and operators that Pyro lacks."""
