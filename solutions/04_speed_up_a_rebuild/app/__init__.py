"""The berth book of the harbour office."""
