"""The gate's register."""
