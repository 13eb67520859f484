"""Shared by all layers: ids, messages, the description of a stage, errors, settings, and the form
of sizes and values in messages."""
