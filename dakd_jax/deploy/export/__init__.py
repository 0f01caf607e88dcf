"""A network as one file for another runtime, which carries what its labels mean and proves itself."""
