"""What every room may use and what knows no Docker: errors, settings, hashing, markup, a disk cache, bounded requests."""
