def double(number: int) -> int:
    """Twice the number."""
    # --- solution
    return 2 * number
    # --- starter
    # raise NotImplementedError
    # --- end
