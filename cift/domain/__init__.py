"""What market data is made of: instruments, Arrow schemas and chunks of columns. No I/O, and cheap to import."""
