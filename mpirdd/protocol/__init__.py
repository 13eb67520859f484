"""Shared by all layers: ids, messages, the description of a stage, errors, settings, and how messages
show sizes and values."""
