"""What changes pictures or their order from epoch to epoch."""
