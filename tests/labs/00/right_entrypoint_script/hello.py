print("Hello from the harbour")
