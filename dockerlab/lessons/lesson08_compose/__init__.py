"""What lesson 08 and its lab alone use."""
