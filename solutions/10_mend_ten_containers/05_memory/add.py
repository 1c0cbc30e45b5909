"""Adds the squares of the numbers below 2,000,000."""

squares = (number * number for number in range(2_000_000))
print("sum:", sum(squares))
