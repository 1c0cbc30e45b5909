"""Gate inspection: a picture of a container's wall in, its condition out."""
