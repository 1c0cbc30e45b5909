"""Adds the squares of the numbers below 2,000,000."""

# --- solution
squares = (number * number for number in range(2_000_000))
# --- starter
# squares = [number * number for number in range(2_000_000)]
# --- end
print("sum:", sum(squares))
