squares = [number * number for number in range(2_000_000)]
print("sum:", sum(squares))
