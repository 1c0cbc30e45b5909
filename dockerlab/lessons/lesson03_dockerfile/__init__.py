"""What lesson 03 and its lab alone use."""
