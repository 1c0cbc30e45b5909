"""What lesson 09 and its lab alone use."""
