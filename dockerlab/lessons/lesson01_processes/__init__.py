"""What lesson 01 and its lab alone use."""
