"""From files or records to arrays of pictures and labels."""
