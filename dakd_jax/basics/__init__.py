"""What every room may use: errors, records, files, locks, progress, plugs."""
