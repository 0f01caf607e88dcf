"""What the commands share: the command line, the file behind --config, pages of help, a held workdir."""
