"""What pages share: tables of text, style, picture grids, parts of pages, stamps, types of results."""
